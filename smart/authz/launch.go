package authz

import (
	"encoding/json"
)

// Launch is what an EHR says when it launches an app for somebody (SMART App
// Launch 2.2, "Launch context arrives with your access_token").
type Launch struct {
	Patient           string            `json:"patient"`
	Encounter         string            `json:"encounter,omitempty"`
	FHIRContext       []json.RawMessage `json:"fhirContext,omitempty"`
	Intent            string            `json:"intent,omitempty"`
	NeedPatientBanner bool              `json:"need_patient_banner"`
	SmartStyleURL     string            `json:"smart_style_url,omitempty"`
	Tenant            string            `json:"tenant,omitempty"`
	User              string            `json:"user,omitempty"` // relative reference of who launches; "" when the EHR does not say
}
