package scenario

import (
	"fmt"
	"strings"
	"time"

	"peal/loadtest/dialect"
)

// Speech is what the settings say of servers that are not Peal.
type Speech struct {
	Files  []string        // of dialects: one for all targets, or one for each
	Flags  dialect.Dialect // laid over them
	Token  string          // {token}, and what the subscribers of a Peal send; in no report
	Secret string          // what Pusher's publications are signed with; in no report
	Data   string          // file
	Expect time.Duration   // for the steps of a connection's opening; 0: Settings.Timeout for all of it
}

// of returns what is laid over the dialect that target i names; nil: nothing.
func (s *Speech) of(i int) (d *dialect.Dialect, err error) {
	if len(s.Files) == 1 {
		i = 0
	}
	if file := at(s.Files, i); file != "" {
		if d, err = dialect.Read(file); err != nil {
			return nil, err
		}
	}
	return d.With(&s.Flags), nil
}

// dialects are those that the targets have. Their placeholders stay.
func (e *experiment) dialects() (all []*dialect.Dialect) {
	for _, t := range e.targets {
		if t.Dialect != nil {
			all = append(all, t.Dialect)
		}
	}
	return all
}

// data is what the templates' placeholders stand for.
func (s *Speech) data() (dialect.Data, error) {
	d := dialect.Data{Token: s.Token, Secret: s.Secret}
	if s.Data == "" {
		return d, nil
	}
	return d.ReadData(s.Data)
}

// rows are the settings of it.
func (s *Speech) rows() []row {
	d := &s.Flags
	return []row{
		{"dialect", &s.Files, "file with the dialect of a server that is not Peal; one for all targets, or one for each", "", isFile},
		{"protocol", &d.Protocol, "subprotocol of the WebSocket to request and to require", "", 0},
		{"send", stepList{&d.Steps, false}, "text to send after connecting; with placeholders {i}, {channel}, {token} and those of --data", "", 0},
		{"expect", stepList{&d.Steps, true}, "message to wait for, a text or /expression/, before the next --send and before a connection counts as subscribed (in a file: 'expect …' in the list of send)", "", 0},
		{"expect-timeout", &s.Expect, "time limit for --send and --expect on each connection, from its opening; 0: --open-timeout, for all connections together", "", 0},
		{"binary", &d.Binary, "send binary frames", "", 0},
		{"separator", &d.Separator, "text that separates several messages in a frame, like \\x1e", "", 0},
		{"extract", &d.Extract, "where the published text is in a message: a JSON path like $.data.message, or /expression (with a group)/", "", 0},
		{"cursor", &d.Cursor, "where the response to a long poll has the position that the next request names as {cursor}, in the target or in --header: a JSON path, /expression (with a group)/, or header:NAME", "", 0},
		{"ping", &d.Ping, "message that is no publication and its response: 'ping=pong', '{\"type\":6}=>{\"type\":6}', or /expression/ alone for no response", "", 0},
		{"ping-every", &d.PingEvery, "text to send on each connection in an interval: '25s=TEXT'", "", 0},
		{"reject", &d.Reject, "message with which the server refuses, a text or /expression/: it ends the connection", "", 0},
		{"token", &s.Token, "token of the subscribers of a Peal (better PEAL_TOKEN), and what {token} stands for; it is in no report", "", secret},
		{"data", &s.Data, "CSV file with a row for each connection, gone round; the first names the columns, which are placeholders", "", isFile},
		{"publish-method", &d.PublishMethod, "method of a publication's request (default: POST)", "-connect", 0},
		{"publish-header", &d.PublishHeader, "header line of a publication's request: 'Name: value'", "-connect", secret},
		{"publish-type", &d.PublishType, "content type of a publication's request (default: text/plain)", "-connect", 0},
		{"publish-body", &d.PublishBody, "body of a publication's request, in which {message} is the published text (default: that alone)", "-connect", 0},
		{"publish-reject", &d.PublishReject, "body of a response that refuses a publication in spite of its status, a text or /expression/", "-connect", 0},
		{"publish-status", &d.PublishStatus, "status codes of accepted publications (default: 200-299)", "-connect", 0},
		{"publish-send", stepList{&d.PublishSteps, false}, "as --send, on the publisher's WebSocket", "-connect", 0},
		{"publish-expect", stepList{&d.PublishSteps, true}, "as --expect, on the publisher's WebSocket", "-connect", 0},
		{"publish-frame", &d.PublishFrame, "publish by frames of this text, in which {message} is the published text; to the target's address, or to --publish ws://…", "-connect", 0},
	}
}

// stepList is the steps of a conversation, whose order is that of both flags.
type stepList struct {
	to     *dialect.Steps
	expect bool
}

func (l stepList) Type() string { return "stringArray" }

func (l stepList) String() string { return strings.Join(l.GetSlice(), " ") }

// expectPrefix marks those of a file's list that are expected.
const expectPrefix = "expect "

// Set adds a step.
func (l stepList) Set(text string) error {
	expected, marked := strings.CutPrefix(text, expectPrefix)
	if l.expect || marked {
		if expected == "" {
			return fmt.Errorf("must be a text, or /expression/")
		}
		*l.to = append(*l.to, dialect.Step{Expect: expected})
		return nil
	}
	*l.to = append(*l.to, dialect.Step{Send: text})
	return nil
}

// GetSlice returns all steps for the one flag, none for the other.
func (l stepList) GetSlice() []string {
	texts := []string{}
	for i := 0; i < len(*l.to) && !l.expect; i++ {
		s := (*l.to)[i]
		if s.Expect != "" {
			s.Send = expectPrefix + s.Expect
		}
		texts = append(texts, s.Send)
	}
	return texts
}
