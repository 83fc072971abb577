// Package bridge is the contract between the planes: it receives events, matches triggers,
// verifies evidence and writes handoffs. It imports neither plane; both import it.
//
//	delivery of a sender ──▶ Message ──▶ Event (one per fact) ──┬──▶ Trigger ──▶ Handoff ──▶ Release, promotions
//	                          kept first, then acknowledged     └──▶ Trigger ──▶ Handoff (ignored, refused, waiting)
//
// An event is a hint. Whatever a trigger hands over was resolved, fetched by digest and
// verified here; what a sender says about a digest, a commit or a person is compared at most.
package bridge
