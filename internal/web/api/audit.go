package api

import (
	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
)

// Planes of the audit logs.
const (
	PlaneCI = "ci"
	PlaneCD = "cd"
)

// ExportType is the media type of an audit log as it is exported: JSON lines.
const ExportType = "application/jsonl"

// AuditEntry is one fact of an audit log.
type AuditEntry = audit.Entry

// AuditReport is what a verification of one audit log found.
type AuditReport struct {
	Plane      string `json:"plane"`
	Origin     string `json:"origin"` // name of the log
	Key        string `json:"key"`    // public key of the log
	OK         bool   `json:"ok"`
	Size       int64  `json:"size"`                 // entries that were proven
	Root       string `json:"root,omitempty"`       // base64 of the tree's root over them; absent when it does not hold
	Checkpoint string `json:"checkpoint,omitempty"` // newest signed checkpoint that holds
	Broken     int64  `json:"broken,omitempty"`     // first entry that was altered, removed or inserted, as near as it can be told
	Problem    string `json:"problem,omitempty"`    // what is wrong, one line
	Hint       string `json:"hint,omitempty"`
}

// AuditReportOf is r with wrong, what a verification returned, as the API sends it.
func AuditReportOf(plane, key string, r audit.Report, wrong error) AuditReport {
	out := AuditReport{
		Plane: plane, Origin: r.Origin, Key: key, OK: wrong == nil, Size: r.Size, Root: r.Root,
		Checkpoint: string(r.Checkpoint), Broken: r.Broken,
	}
	if f := fault.As(wrong); f != nil {
		out.Problem, out.Hint = f.Message, f.Hint
	}
	return out
}
