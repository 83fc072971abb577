#!/bin/sh
# Writes the SLSA provenance of an image as an in-toto statement, for CIs that make none themselves.
# Usage: statement.sh IMAGE DIGEST REPOSITORY REF COMMIT RUN > provenance.json
# It says what the job says about itself: it is worth as much as the key that signs it is guarded.
set -eu
jq -n --arg image "$1" --arg hex "${2#sha256:}" --arg repository "$3" --arg ref "$4" --arg commit "$5" --arg run "$6" \
  --arg finished "$(date -u +%Y-%m-%dT%H:%M:%SZ)" '{
  _type: "https://in-toto.io/Statement/v1",
  subject: [{name: $image, digest: {sha256: $hex}}],
  predicateType: "https://slsa.dev/provenance/v1",
  predicate: {
    buildDefinition: {
      buildType: ($run | split("/")[0:3] | join("/")),
      externalParameters: {source: {repository: $repository, ref: $ref}},
      resolvedDependencies: [{uri: "git+\($repository)@\($ref)", digest: {gitCommit: $commit}}]
    },
    runDetails: {builder: {id: ($run | split("/")[0:3] | join("/"))}, metadata: {invocationId: $run, finishedOn: $finished}}
  }
}'
