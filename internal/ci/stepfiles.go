package ci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"

	"drawbridge/internal/ci/workflow"
	"drawbridge/internal/fault"
)

// stepFiles are the script of a step and the files by which it answers, in a directory of
// its own beneath the job's /tmp.
type stepFiles struct{ dir string } // relative to /tmp

// Names of the files, each with the variable that holds its path.
var answerFiles = []struct{ name, variable string }{
	{"output", "GITHUB_OUTPUT"}, {"env", "GITHUB_ENV"}, {"path", "GITHUB_PATH"}, {"summary", "GITHUB_STEP_SUMMARY"},
}

const scriptFile = "script.sh"

func newStepFiles(number int) stepFiles { return stepFiles{".drawbridge/" + strconv.Itoa(number)} }

func (f stepFiles) place(name string) string { return "/tmp/" + f.dir + "/" + name }

func (f stepFiles) script() string { return f.place(scriptFile) }

// env tells the script where its files are.
func (f stepFiles) env() map[string]string {
	env := map[string]string{}
	for _, a := range answerFiles {
		env[a.variable] = f.place(a.name)
	}
	return env
}

// put writes the script and the empty files.
func (f stepFiles) put(ctx context.Context, job Job, script string) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for dir := range prefixes(f.dir) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}); err != nil {
			return fmt.Errorf("write a directory: %w", err)
		}
	}
	if err := addFile(w, f.dir+"/"+scriptFile, []byte(script)); err != nil {
		return err
	}
	for _, a := range answerFiles {
		if err := addFile(w, f.dir+"/"+a.name, nil); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end the archive: %w", err)
	}
	return job.PutFile(ctx, "/tmp", &b)
}

// prefixes yields "a", "a/b", "a/b/c" of "a/b/c".
func prefixes(p string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(p) + 1 {
			if (i == len(p) || p[i] == '/') && !yield(p[:i]) {
				return
			}
		}
	}
}

func addFile(w *tar.Writer, name string, content []byte) error {
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// answers is what a step wrote.
type answers struct {
	outputs map[string]string
	env     map[string]string
	path    []string
	summary string
}

// get reads the files. What a step made of them is hostile: only regular files of the
// known names are read, each up to its limit. Files that are gone are empty.
func (f stepFiles) get(ctx context.Context, job Job) (answers, error) {
	stream, err := job.GetFile(ctx, "/tmp/"+f.dir)
	if fault.Is(err, fault.NotFound) {
		return answers{}, nil
	}
	if err != nil {
		return answers{}, err
	}
	files, err := readAnswers(stream)
	if err = errors.Join(err, stream.Close()); err != nil {
		return answers{}, err
	}
	return parseAnswers(files)
}

// answer is one file; content is cut behind the limit, size is not.
type answer struct {
	content []byte
	size    int64
}

// maxEntries bounds the files that a step may leave beside its answers.
const maxEntries = 1000

func readAnswers(r io.Reader) (map[string]answer, error) {
	files := map[string]answer{}
	t := tar.NewReader(io.LimitReader(r, 64<<20))
	for range maxEntries {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the files of the step cannot be read")
		}
		name := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || name == scriptFile {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(t, max(workflow.MaxCommandFile, workflow.MaxSummary)+1))
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the file %s of the step cannot be read", name)
		}
		files[name] = answer{content, h.Size}
	}
	return nil, fault.New(fault.TooLarge, "the step left more than %d files beside GITHUB_OUTPUT", maxEntries)
}

func parseAnswers(files map[string]answer) (answers, error) {
	outputs, err := workflow.ParseOutput(files["output"].content)
	if err != nil {
		return answers{}, err
	}
	env, err := workflow.ParseEnv(files["env"].content)
	if err != nil {
		return answers{}, err
	}
	dirs, err := workflow.ParsePath(files["path"].content)
	if err != nil {
		return answers{}, err
	}
	s := files["summary"]
	return answers{outputs: assigned(outputs), env: assigned(env), path: dirs, summary: workflow.ParseSummary(s.content, s.size)}, nil
}

func assigned(list []workflow.Assignment) map[string]string {
	m := make(map[string]string, len(list))
	for _, a := range list {
		m[a.Name] = a.Value
	}
	return m
}
