package cli

import "strings"

// lineWidth is how many columns running text takes; maxLabel is the widest label beside it.
const (
	lineWidth = 78
	maxLabel  = 24
)

// Colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// coloured is text in a colour where a person reads it on a terminal that has colours.
func (c *console) coloured(colour, text string) string {
	if colour == "" || text == "" || !c.Terminal || c.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wrap breaks text at spaces into lines of at most width characters; a longer word has a
// line of its own. No text gives no line.
func wrap(text string, width int) []string {
	var lines []string
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case line == "":
			line, used = word, n
		case used+1+n <= width:
			line, used = line+" "+word, used+1+n
		default:
			lines = append(lines, line)
			line, used = word, n
		}
	}
	if line == "" {
		return lines
	}
	return append(lines, line)
}
