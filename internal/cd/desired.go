package cd

// desired is all that should run in the environment while the candidate has weight percent.
// At 100 the base is not listed any more: it is drained and stopped.
func desired(in input, weight int) Desired {
	d := Desired{Environment: in.env.Ref, Listen: listen(in.env, in.p.Plan.Listen)}
	candidate := in.p.Plan.running(weight)
	same := in.base != nil && in.base.Plan.Candidate.Image.Digest == candidate.Image.Digest
	switch {
	case in.base == nil && weight > 0, same, weight >= 100:
		candidate.Weight = 100 // alone: there is nothing to share with
		d.Versions = []Version{candidate}
	case in.base == nil:
		d.Versions = []Version{candidate}
	default:
		d.Versions = []Version{in.base.Plan.running(100 - weight), candidate}
	}
	return d
}

// settled is what should run when no promotion is on its way: the base alone, or nothing.
func settled(env EnvironmentRow, base *Promotion, wanted string) Desired {
	d := Desired{Environment: env.Ref, Listen: listen(env, wanted)}
	if base != nil {
		d.Versions = []Version{base.Plan.running(100)}
	}
	return d
}

// listen is the environment's address: the one that it has, as long as the delivery asks
// for any port of the same host, else the one that is asked for.
func listen(env EnvironmentRow, wanted string) string {
	host, port := hostPort(wanted)
	have, _ := hostPort(env.Address)
	if env.Address != "" && port == "0" && host == have {
		return env.Address
	}
	return wanted
}
