package api

import "drawbridge/internal/audit"

// Planes of the audit logs.
const (
	PlaneCI = "ci"
	PlaneCD = "cd"
)

// ExportType is the media type of an audit log as it is exported: JSON lines.
const ExportType = "application/jsonl"

// AuditEntry is one fact of an audit log.
type AuditEntry = audit.Entry
