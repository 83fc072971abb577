package cd

import (
	"context"
	"time"

	"drawbridge/internal/bridge"
)

// Store keeps promotions and environments. The adapter implements it over cd.db.
type Store interface {
	Reader
	Writer
	FreezeWriter
}

// Writer changes promotions. Each call is one transaction that holds the change, its
// audit entries and the work that follows; it returns once that is committed.
type Writer interface {
	// Commit moves a promotion. A promotion that has moved on, or a slot that is taken, gives a
	// fault of kind Conflict and changes nothing.
	Commit(ctx context.Context, c Change) error
	// Note changes the reason that a promotion shows and when it is looked at again; no
	// version, no audit entry. A promotion that has moved on is left alone.
	Note(ctx context.Context, p Promotion, reason string, wake time.Time) error
	// Open opens promotions. An active promotion of the same release in the same environment
	// takes the cause and is returned instead; an automatic cause opens once per release and
	// environment, ever, and is left out the second time.
	Open(ctx context.Context, list []Promotion) ([]Promotion, error)
}

// Reader reads promotions, environments and what they refer to.
type Reader interface {
	PromotionReader
	EnvironmentReader
	ReleaseReader
	FreezeReader
}

// PromotionReader reads promotions.
type PromotionReader interface {
	// Promotion returns one promotion; NotFound when there is none.
	Promotion(ctx context.Context, id PromotionID) (Promotion, error)
	// Promotions returns those that f asks for, newest first.
	Promotions(ctx context.Context, f PromotionFilter) ([]Promotion, error)
}

// PromotionFilter picks promotions; zero fields pick all.
type PromotionFilter struct {
	Environment EnvironmentRef // Name may be empty: every environment of the application
	Release     string
	State       State
	Active      bool        // only those that have not ended
	Before      PromotionID // those with a smaller id
	Limit       int         // 0 means 50
}

// EnvironmentReader reads environments and deliveries.
type EnvironmentReader interface {
	// Environments returns the environments of an application, or of all with "", sorted by
	// application and by their order in the delivery.
	Environments(ctx context.Context, application string) ([]EnvironmentRow, error)
	// Environment returns one environment; NotFound when there is none.
	Environment(ctx context.Context, ref EnvironmentRef) (EnvironmentRow, error)
	// Delivery returns an application's delivery, the newest for version 0, with its version;
	// NotFound when there is none.
	Delivery(ctx context.Context, application string, version int64) (Delivery, int64, error)
}

// ReleaseReader reads releases.
type ReleaseReader interface {
	// Release returns the release with this id; NotFound when there is none.
	Release(ctx context.Context, id string) (bridge.Release, error)
	// Bad reports whether a release was undone or left by a rollback in an environment.
	Bad(ctx context.Context, ref EnvironmentRef, release string) (bool, error)
}

// EnvironmentRow is what is known of one environment.
type EnvironmentRow struct {
	Ref     EnvironmentRef `json:"ref"`
	Order   int            `json:"order"`   // place in the delivery, from 0
	Address string         `json:"address"` // host:port once something ran here
	Live    PromotionID    `json:"live"`    // promotion whose release runs here; 0 means none
	Active  PromotionID    `json:"active"`  // promotion that holds the environment; 0 means none
}

// Change is one move of one promotion with all that belongs to it.
type Change struct {
	Was     Promotion // as it was read: compare-and-set on its version
	Now     Promotion // as Apply gave it
	Actor   string    // who or what moved it
	Action  string    // for the audit log: "promotion.approve"
	Next    bool      // look at it again at once
	Wake    time.Time // or then; zero means when a signal comes
	Address string    // the environment's address, when the effect told one
	Opens   []Promotion
	Bad     bool      // mark the release bad in this environment
	Decided *Decision // a decision to keep
}

// Documents keeps the versions of the files that people apply.
type Documents interface {
	// Newest returns the newest version of a document as it was applied; nil and 0 when there is none.
	Newest(ctx context.Context, kind, name string) (body []byte, version int64, err error)
	// PutDelivery keeps d as the version after was, with its environments and images, and its
	// audit entry. Somebody else's version in between gives a fault of kind Conflict.
	PutDelivery(ctx context.Context, actor string, d Delivery, body []byte, was int64) (version int64, err error)
}
