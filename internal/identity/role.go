package identity

import (
	"slices"

	"drawbridge/internal/fault"
)

// Role is what a token may do. Roles are stored and sent: they are only ever added to.
type Role string

// The roles of people, each of which may all that the one before it may, and the two of machines.
const (
	Viewer    Role = "viewer"    // reads
	Developer Role = "developer" // pushes commits, asks for promotions and tests triggers
	Approver  Role = "approver"  // decides on promotions
	Releaser  Role = "releaser"  // applies deliveries, rolls back, pauses triggers, freezes environments
	Admin     Role = "admin"     // makes repositories, tokens, receivers, workloads, trust and policy
	Events    Role = "events"    // a machine that posts events and nothing else
	CI        Role = "ci"        // a machine that writes to the registry and nothing else
)

// Action is something that a role may do.
type Action string

// The actions. Their texts complete the sentence "… may not ACTION".
const (
	Read             Action = "read"
	ReadAudit        Action = "read the audit log"
	Fetch            Action = "fetch from repositories"
	Push             Action = "push to repositories"
	CreateRepository Action = "create repositories"
	ApplyDelivery    Action = "apply deliveries"
	ApplyTrust       Action = "apply trust"
	ApplyPolicy      Action = "apply policies"
	ManageReceivers  Action = "manage receivers"
	ManageWorkloads  Action = "manage workloads"
	PauseTrigger     Action = "pause triggers"
	Freeze           Action = "freeze environments"
	TestTrigger      Action = "test triggers"
	Redrive          Action = "have events processed again"
	Promote          Action = "promote"
	Approve          Action = "approve promotions"
	Rollback         Action = "roll back"
	ManageTokens     Action = "manage tokens"
	PostEvents       Action = "post events"
	RegistryPull     Action = "pull from the registry"
	RegistryPush     Action = "push to the registry"
)

// may says which roles may do what. A role that a row does not name may not.
var may = map[Action][]Role{
	Read:             {Viewer, Developer, Approver, Releaser, Admin},
	ReadAudit:        {Viewer, Developer, Approver, Releaser, Admin},
	Fetch:            {Viewer, Developer, Approver, Releaser, Admin},
	Push:             {Developer, Approver, Releaser, Admin},
	Promote:          {Developer, Approver, Releaser, Admin},
	Approve:          {Approver, Releaser, Admin},
	ApplyDelivery:    {Releaser, Admin},
	Rollback:         {Releaser, Admin},
	CreateRepository: {Admin},
	ApplyTrust:       {Admin},
	ApplyPolicy:      {Admin},
	ManageReceivers:  {Admin},
	ManageWorkloads:  {Admin},
	PauseTrigger:     {Releaser, Admin},
	Freeze:           {Releaser, Admin},
	TestTrigger:      {Developer, Approver, Releaser, Admin},
	Redrive:          {Releaser, Admin},
	ManageTokens:     {Admin},
	PostEvents:       {Admin, Events},
	RegistryPull:     {Viewer, Developer, Approver, Releaser, Admin, CI},
	RegistryPush:     {Admin, CI},
}

// roles lists the roles from the least to the most, then the machines.
var roles = []Role{Viewer, Developer, Approver, Releaser, Admin, Events, CI}

// Can reports whether role may do action. An unknown role or action may not and is not done.
func Can(role Role, action Action) bool { return slices.Contains(may[action], role) }

// Known reports whether action is one of the actions above.
func Known(action Action) bool { return may[action] != nil }

// Roles lists every role, people's from the least to the most, then machines'.
func Roles() []Role { return slices.Clone(roles) }

// ParseRole reads a role's name. Anything else is a fault of kind Invalid that lists the roles.
func ParseRole(s string) (Role, error) {
	if r := Role(s); slices.Contains(roles, r) {
		return r, nil
	}
	return "", fault.New(fault.Invalid, "%.40q is no role", s).WithField("role").
		WithHint("use one of viewer, developer, approver, releaser, admin, events, ci")
}

func rolesFor(action Action) []string {
	var names []string
	for _, r := range roles {
		if Can(r, action) {
			names = append(names, string(r))
		}
	}
	return names
}
