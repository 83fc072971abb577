package artifact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"drawbridge/internal/artifact"
	"drawbridge/internal/fault"
)

var digest = artifact.DigestOf([]byte("x"))

func TestParseDigest(t *testing.T) {
	d, err := artifact.ParseDigest(digest.String())
	if err != nil || d != digest || d.Hex() != strings.TrimPrefix(digest.String(), "sha256:") {
		t.Errorf("ParseDigest(%q) = %v, %v", digest, d, err)
	}
	for _, s := range []string{
		"", "sha256:", strings.ToUpper(digest.String()), digest.String()[1:], digest.String() + "0", "sha512:" + digest.Hex(),
		"sha256:" + strings.Repeat("g", 64), digest.Hex(), "sha256:" + strings.Repeat("0", 10_000),
	} {
		if d, err := artifact.ParseDigest(s); !fault.Is(err, fault.Invalid) || !d.IsZero() || len(err.Error()) > 200 {
			t.Errorf("ParseDigest(%.80q) = %v, %v", s, d, err)
		}
	}
}

func TestReadDigest(t *testing.T) {
	if d, err := artifact.ReadDigest(strings.NewReader("x")); err != nil || d != digest {
		t.Errorf("ReadDigest = %v, %v", d, err)
	}
}

func TestParseReference(t *testing.T) {
	for s, want := range map[string]artifact.Reference{
		"shop/web":                        {Repository: "shop/web"},
		"shop/web:1.0.0":                  {Repository: "shop/web", Tag: "1.0.0"},
		"shop/web@" + digest.String():     {Repository: "shop/web", Digest: digest},
		"shop/web:1@" + digest.String():   {Repository: "shop/web", Tag: "1", Digest: digest},
		"localhost/web":                   {Host: "localhost", Repository: "web"},
		"R.example.com:5000/a/b_c/d--e:x": {Host: "r.example.com:5000", Repository: "a/b_c/d--e", Tag: "x"},
		"web":                             {Repository: "web"},
	} {
		got, err := artifact.ParseReference(s)
		if err != nil || got != want {
			t.Errorf("ParseReference(%q) = %+v, %v", s, got, err)
		}
		if again, err := artifact.ParseReference(got.String()); err != nil || again != got {
			t.Errorf("%q does not survive: %+v, %v", got, again, err)
		}
	}
	for _, s := range []string{
		"", "/", "Shop/web", "shop//web", "shop/web:", "shop/web@sha256:1", "shop/web:-x", "shop web", "-x.y/web", "a.b:123456/web",
		"shop/../web", "shop/web:" + strings.Repeat("x", 129), strings.Repeat("a/", 300), "shop/web\n", "http://shop/web",
	} {
		if got, err := artifact.ParseReference(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParseReference(%.60q) = %+v, %v", s, got, err)
		}
	}
}

func TestReferenceParts(t *testing.T) {
	r := artifact.Reference{Host: "r.io", Repository: "shop/web", Tag: "1", Digest: digest}
	if r.Owner() != "shop" || r.Name() != "r.io/shop/web" {
		t.Errorf("owner %q, name %q", r.Owner(), r.Name())
	}
	if got := r.WithTag("2").String(); got != "r.io/shop/web:2" {
		t.Errorf("WithTag gives %q", got)
	}
	if got := r.WithDigest(digest).String(); got != "r.io/shop/web@"+digest.String() {
		t.Errorf("WithDigest gives %q", got)
	}
}

func TestPackageURL(t *testing.T) {
	for _, r := range []artifact.Reference{
		{Repository: "shop/web", Tag: "1.0.0", Digest: digest},
		{Host: "r.example.com:5000", Repository: "web", Digest: digest},
		{Host: "r.example.com:5000", Repository: "shop/web", Tag: "1.0.0"},
	} {
		got, err := artifact.ParsePackageURL(r.PackageURL())
		if err != nil || got != r {
			t.Errorf("%s: %+v, %v", r.PackageURL(), got, err)
		}
	}
	for _, s := range []string{
		"", "pkg:npm/x@1", "pkg:oci/web?repository_url=shop/web", "pkg:oci/web@1?repository_url=shop/web", "pkg:oci/web@" + digest.String(),
		"pkg:oci/web@%zz", "pkg:oci/web@?repository_url=shop/web&tag=1", "pkg:oci/web?tag=1",
		"pkg:oci/web?repository_url=shop/web:1", "pkg:oci/web?repository_url=shop/web@" + digest.String(), "pkg:oci/web?repository_url=shop/web&tag=1@" + digest.String(),
		"pkg:oci/web@" + digest.String() + "?repository_url=%zz", "pkg:oci/" + strings.Repeat("x", 2000),
	} {
		if got, err := artifact.ParsePackageURL(s); !fault.Is(err, fault.Invalid) {
			t.Errorf("ParsePackageURL(%.60q) = %+v, %v", s, got, err)
		}
	}
}

func TestJSON(t *testing.T) {
	type doc struct {
		Image  artifact.Reference `json:"image"`
		Digest artifact.Digest    `json:"digest"`
		None   artifact.Digest    `json:"none"`
	}
	in := doc{Image: artifact.Reference{Repository: "shop/web", Tag: "1"}, Digest: digest}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out doc
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%s: %+v, %v", b, out, err)
	}
	if err := json.Unmarshal([]byte(`{"digest":"sha256:x"}`), &out); err == nil {
		t.Error("a malformed digest was read")
	}
}

func FuzzParseReference(f *testing.F) {
	f.Add("r.example.com:5000/shop/web:1@" + digest.String())
	f.Fuzz(func(t *testing.T, s string) {
		r, err := artifact.ParseReference(s)
		if err != nil {
			return
		}
		if again, err := artifact.ParseReference(r.String()); err != nil || again != r {
			t.Errorf("%q gives %+v, its text %+v, %v", s, r, again, err)
		}
	})
}

func FuzzParsePackageURL(f *testing.F) {
	f.Add(artifact.Reference{Repository: "shop/web", Tag: "1", Digest: digest}.PackageURL())
	f.Fuzz(func(t *testing.T, s string) {
		r, err := artifact.ParsePackageURL(s)
		if err == nil && (r.Digest.IsZero() && r.Tag == "" || r.Repository == "") {
			t.Errorf("%q gives %+v", s, r)
		}
	})
}
