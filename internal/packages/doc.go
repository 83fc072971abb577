// Package packages finds the files of a version in a package registry or in a release of a
// Git host, fetches them, and with them the Sigstore bundles that stand beside them. It
// knows GitHub, Gitea (Forgejo speaks the same), GitLab, Maven repositories and npm registries.
//
// What it reads comes from outside and is believed in nothing: every answer is bounded, a
// file's name is checked before it becomes one here, each request and redirect is asked of a
// [Guard], and a file that has another checksum than its registry states is thrown away. What
// the registry states proves a whole transfer and no more: who built the file is proven by
// the bundles, which the bridge verifies against the digest that [Fetcher.Fetch] computes.
//
// Nothing is kept beside the files that Fetch writes. The answers' formats are those of the
// services' own documentation: the REST APIs of GitHub (version 2022-11-28), Gitea (v1) and
// GitLab (v4), the Maven repository layout, and the npm registry's version document.
package packages
