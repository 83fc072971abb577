package web

import (
	"context"
	"maps"
	"net/http"
	"slices"

	"drawbridge/internal/audit"
	"drawbridge/internal/fault"
	"drawbridge/internal/identity"
	"drawbridge/internal/web/api"
)

// AuditLog is one plane's audit log; *store.DB implements it.
type AuditLog interface {
	// AuditEntries lists entries after a sequence number, at most limit of them, in their order.
	AuditEntries(ctx context.Context, after int64, limit int) ([]audit.Entry, error)
	// ReadAudit runs fn over a snapshot of the log, which is valid until fn returns.
	ReadAudit(ctx context.Context, fn func(ctx context.Context, log audit.Source) error) error
	// AuditVerifier is the public key of the log.
	AuditVerifier() string
}

// AuditRoutes are the rows of the audit logs, which logs holds by plane.
func AuditRoutes(logs map[string]AuditLog) []Route {
	h := auditHandlers{logs}
	plane := []Param{{"plane", "Whose log: ci or cd; may be absent where the server has one plane."}}
	return []Route{
		{
			Method: http.MethodGet, Pattern: "/api/v1/audit", Action: identity.ReadAudit, Handler: h.list,
			Summary: "List the entries of an audit log, oldest first", Paged: true, Response: api.AuditEntry{}, Query: plane,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/audit/export", Action: identity.ReadAudit, Handler: h.export,
			Summary: "Export an audit log with its checkpoints, to be verified elsewhere", Media: api.ExportType, Query: plane,
		},
		{
			Method: http.MethodGet, Pattern: "/api/v1/audit/verify", Action: identity.ReadAudit, Handler: h.verify,
			Summary: "Verify an audit log on the server; what a reader verifies itself proves more", Response: api.AuditReport{}, Query: plane,
		},
	}
}

type auditHandlers struct{ logs map[string]AuditLog }

// log is the log that r asks for.
func (h auditHandlers) log(r *http.Request) (string, AuditLog, error) {
	plane, err := word(r, "plane", []string{api.PlaneCI, api.PlaneCD})
	if err != nil {
		return "", nil, err
	}
	planes := slices.Sorted(maps.Keys(h.logs))
	if plane == "" {
		if len(planes) != 1 {
			return "", nil, fault.New(fault.Invalid, "is missing").WithField("plane").WithHint("each plane has its own log: ask for ci or cd")
		}
		plane = planes[0]
	}
	log, ok := h.logs[plane]
	if !ok {
		return "", nil, fault.New(fault.NotFound, "this server has no %s plane", plane).WithField("plane").WithHint("ask the server that has it")
	}
	return plane, log, nil
}

func (h auditHandlers) list(w http.ResponseWriter, r *http.Request) error {
	_, log, err := h.log(r)
	if err != nil {
		return err
	}
	p, after, err := storePage(r)
	if err != nil {
		return err
	}
	found, err := log.AuditEntries(r.Context(), after, p.Limit)
	if err != nil {
		return err
	}
	return ReplyPage(w, r, p, found, func(v api.AuditEntry) string { return itoa(v.Seq) })
}

func (h auditHandlers) export(w http.ResponseWriter, r *http.Request) error {
	plane, log, err := h.log(r)
	if err != nil {
		return err
	}
	ctx, cancel := untilStop(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", api.ExportType)
	w.Header().Set("Content-Disposition", `attachment; filename="audit-`+plane+`.jsonl"`)
	return log.ReadAudit(ctx, func(ctx context.Context, src audit.Source) error {
		return audit.Export(ctx, newFlow(w), src, log.AuditVerifier())
	})
}

func (h auditHandlers) verify(w http.ResponseWriter, r *http.Request) error {
	plane, log, err := h.log(r)
	if err != nil {
		return err
	}
	var found audit.Report
	err = log.ReadAudit(r.Context(), func(ctx context.Context, src audit.Source) error {
		found, err = audit.Verify(ctx, src, log.AuditVerifier(), nil)
		return err
	})
	if err != nil && !fault.Is(err, fault.Refused) {
		return err
	}
	return Reply(w, http.StatusOK, api.AuditReportOf(plane, log.AuditVerifier(), found, err))
}
