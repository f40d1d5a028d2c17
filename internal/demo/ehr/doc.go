// Package ehr is the embedded EHR of the demonstration and of the tests: an
// HTTP FHIR R4 server over resources in memory. It owns their bytes, which it
// serves exactly as they were loaded, their versions, the indexes that make
// search quick, and a set of misbehaviours that a test switches on to see what
// a client makes of a broken or hostile server. It must not know Portico: it
// imports the FHIR vocabulary and the search tables and nothing of the gateway,
// so that the two can disagree.
//
// It is not for production, and cannot be made so by configuration: nothing is
// kept on disk, access is checked by one fixed credential at most, every caller
// sees every patient, and it can be told to lie. It is an http.Handler and
// opens no listener; whoever starts one must listen on loopback only, as the
// demo command does.
//
// What it does: read, vread, instance history, search (GET and POST), Patient
// compartment search, Patient/[id]/$everything, create, update, delete, batch
// and the capability statement. What it does not: transaction (refused),
// patch, conditional update and delete, system and type level history, system
// search, XML.
package ehr
