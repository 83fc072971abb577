package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drawbridge/internal/fault"
)

const intro = `Drawbridge keeps continuous integration and continuous delivery apart, and lets one
thing cross between them: a verified, immutable release.

The first five commands:
  drawbridge server                               run everything here, in ./.drawbridge-data
  drawbridge token create alice --role developer   make a token to push with
  drawbridge repo create shop                     make a repository; git push starts its runs
  drawbridge apply -f delivery.yaml               say where its releases go
  drawbridge status                               see what runs where

Commands find the server by --server or DRAWBRIDGE_SERVER, and their token by --token
or DRAWBRIDGE_TOKEN. Without them they take the address and the first admin token from
./.drawbridge-data (or DRAWBRIDGE_DATA), if they are there and readable.
`

// Groups of commands in the help text.
const (
	groupStart   = "start"
	groupBuild   = "build"
	groupDeliver = "deliver"
	groupCross   = "cross"
	groupAdmin   = "admin"
)

func newRoot(c *console) *cobra.Command {
	root := &cobra.Command{
		Use:               "drawbridge",
		Short:             "A verified road from commit to production",
		Long:              intro + "\n" + exitCodes(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              cobra.ArbitraryArgs,
		RunE:              chooser(c),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd, c.Getenv) },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fault.New(fault.Invalid, "%v", err).WithHint("%s --help", cmd.CommandPath())
	})
	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start:"},
		&cobra.Group{ID: groupBuild, Title: "Build:"},
		&cobra.Group{ID: groupCross, Title: "Cross the bridge:"},
		&cobra.Group{ID: groupDeliver, Title: "Deliver:"},
		&cobra.Group{ID: groupAdmin, Title: "Look after it:"},
	)
	root.SetHelpCommandGroupID(groupAdmin)
	root.SetCompletionCommandGroupID(groupAdmin)
	add(root, groupStart, newDemo(c), newServer(c), newVersion(c))
	add(root, groupBuild, newRepo(c), newRun(c), newLint(c))
	add(root, groupDeliver, newApply(c), newSchema(c), newStatus(c), newWhy(c), newRelease(c), newPlan(c), newPromote(c), newApprove(c), newReject(c),
		newRollback(c), newPromotion(c), newDrift(c), newFreeze(c))
	add(root, groupCross, newEvent(c), newTrigger(c), newHandoff(c), newReceiver(c), newSubmit(c))
	add(root, groupAdmin, newToken(c), newTrust(c), newPolicy(c), newWorkload(c), newAudit(c))
	return root
}

func add(parent *cobra.Command, group string, commands ...*cobra.Command) {
	for _, cmd := range commands {
		cmd.GroupID = group
		parent.AddCommand(cmd)
	}
}

// exitCodes is the table of exit codes, made from the kinds of fault.
func exitCodes() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n    0  done\n")
	for _, k := range fault.Kinds() {
		fmt.Fprintf(&b, "  %3d  %-16s %s\n", k.ExitCode(), k, meaning(k))
	}
	fmt.Fprintf(&b, "  %3d  %-16s %s", exitInterrupted, "interrupted", "a signal ended the command")
	return b.String()
}

// meaning says what a person can do about a fault of kind k.
func meaning(k fault.Kind) string {
	switch k {
	case fault.Internal:
		return "a defect: report it"
	case fault.Invalid:
		return "the input is wrong: correct it"
	case fault.Unauthenticated:
		return "no valid token: give one"
	case fault.Forbidden:
		return "you may not: ask somebody who may"
	case fault.NotFound:
		return "there is no such thing: list what there is"
	case fault.Conflict:
		return "the state has moved on: look again"
	case fault.Blocked:
		return "a condition is not met yet: wait, or meet it"
	case fault.Refused:
		return "evidence or policy forbids it: no repetition helps"
	case fault.TooLarge:
		return "over a limit: send less"
	case fault.Unavailable:
		return "a part is out of reach: try again later"
	case fault.Full:
		return "the storage is full: make room"
	}
	return ""
}

// group is a command that only holds others.
func group(c *console, use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, RunE: chooser(c)}
	g.AddCommand(commands...)
	return g
}

// chooser answers a group of commands that was called without one of them: the help text,
// or what was probably meant.
func chooser(c *console) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if cmd.HasParent() {
				cmd.SetOut(c.out)
			}
			return cmd.Help()
		}
		err := fault.New(fault.Invalid, "%q is no command of %s", args[0], cmd.CommandPath())
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return err.WithHint("%s %s", cmd.CommandPath(), near[0])
		}
		return err.WithHint("%s --help", cmd.CommandPath())
	}
}

// exactly asks for the arguments that the command's usage line names.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return fault.New(fault.Invalid, "no %s named", names[len(args)]).WithHint("%s", cmd.UseLine())
		case len(args) > len(names):
			return fault.New(fault.Invalid, "%q is one argument too many", args[len(names)]).WithHint("%s", cmd.UseLine())
		}
		return nil
	}
}

// atMost takes n arguments or fewer.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return fault.New(fault.Invalid, "%q is one argument too many", args[n]).WithHint("%s", cmd.UseLine())
		}
		return nil
	}
}

// variable marks the flags that have an environment variable.
const variable = "environment"

// bind gives the named flags their environment variables, which the help text shows:
// DRAWBRIDGE_ and the flag's name.
func bind(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		f := flags.Lookup(name)
		key := "DRAWBRIDGE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		f.Usage += " [" + key + "]"
		f.Annotations = map[string][]string{variable: {key}}
	}
}

// fromEnvironment sets the flags that were not given from their environment variables.
func fromEnvironment(cmd *cobra.Command, getenv func(string) string) error {
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		key := f.Annotations[variable]
		if f.Changed || len(key) == 0 || getenv(key[0]) == "" || wrong != nil {
			return
		}
		if err := f.Value.Set(getenv(key[0])); err != nil {
			wrong = fault.New(fault.Invalid, "%.80q does not fit --%s", getenv(key[0]), f.Name).WithField(key[0]).WithHint("%s --help", cmd.CommandPath())
		}
	})
	return wrong
}
