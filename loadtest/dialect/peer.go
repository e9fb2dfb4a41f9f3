package dialect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Data is what the placeholders of a run stand for, beside the channel.
type Data struct {
	Token   string     `json:"token,omitempty"`
	Columns []string   `json:"columns,omitempty"`
	Rows    [][]string `json:"rows,omitempty"` // gone round
	Secret  string     `json:"-"`              // what pusher's publications are signed with: the workers publish nothing
}

// With returns data with a further column, which is the same in each row.
func (d Data) With(name, value string) Data {
	d.Columns, d.Rows = append(slices.Clone(d.Columns), name), slices.Clone(d.Rows)
	if len(d.Rows) == 0 {
		d.Rows = [][]string{nil}
	}
	for i, row := range d.Rows {
		d.Rows[i] = append(slices.Clone(row), value)
	}
	return d
}

// Given reports whether there is anything.
func (d *Data) Given() bool { return d.Token != "" || len(d.Columns) > 0 }

// HasToken reports whether {token} stands for something.
func (d *Data) HasToken() bool { return d.Token != "" || slices.Contains(d.Columns, "token") }

// Expand is text, a template, with the values in their places. What is none stays as
// it is.
func (d *Data) Expand(text string, v *Values, byDefault ...string) string {
	t, err := compile(text, d.Columns, byDefault...)
	if err != nil {
		return text
	}
	return t.Text(v)
}

// Values are those of connection, or of stream, i.
func (d *Data) Values(i int, channel string) Values {
	v := Values{I: i, Channel: channel, Token: d.Token}
	if len(d.Rows) > 0 {
		v.Row = d.Rows[i%len(d.Rows)]
	}
	return v
}

// Peer is a compiled Dialect. It is of one goroutine: what its methods return is
// valid until the next call.
type Peer struct {
	*Dialect
	Data
	Path, Header Template // of the request that opens a connection, or that publishes
	Steps        []Stage  // of the connection's opening
	Beat         Template // to send every Every
	Every        time.Duration

	extract         []*Extract
	cursor          *Extract // of the body of a poll's response; nil: none
	rules           []rule
	reject, refusal *Pattern
	body, frame     Template

	accepts   [2]int // statuses
	separator []byte
	found     [][]byte
	scratch   []byte
}

// Stage is a compiled Step: it sends, if Expect is nil.
type Stage struct {
	Send   Template
	Expect *Pattern
}

// rule is what to do with a message that is no publication.
type rule struct {
	Pattern
	reply Template // nil: nothing
}

// Subscriber compiles the dialect for connections that are opened by a GET of path.
// header is lines with their CRLF. An error names what is wrong with a template.
func (d *Dialect) Subscriber(data Data, path, header string) (*Peer, error) {
	return d.compile(data, d.Steps, d.withChannel(path), header)
}

// Publisher compiles the dialect for publishing to path.
func (d *Dialect) Publisher(data Data, path, header string) (*Peer, error) {
	for _, line := range d.PublishHeader {
		header += line + "\r\n"
	}
	if !slices.ContainsFunc(d.PublishHeader, func(line string) bool { return strings.HasPrefix(strings.ToLower(line), "content-type:") }) {
		header += "Content-Type: " + or(d.PublishType, "text/plain") + "\r\n"
	}
	return d.compile(data, d.PublishSteps, path, header)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func (d *Dialect) compile(data Data, steps Steps, path, header string) (p *Peer, err error) {
	p = &Peer{Dialect: d, Data: data}
	template := func(text string, byDefault ...string) (t Template) {
		if err == nil {
			t, err = compile(text, data.Columns, byDefault...)
		}
		return t
	}
	pattern := func(text string) *Pattern {
		if text == "" || err != nil {
			return nil
		}
		var compiled Pattern
		compiled, err = compilePattern(text, data.Columns)
		return &compiled
	}
	p.Path, p.Header = template(path, "url"), template(header)
	p.body, p.frame = template(or(d.PublishBody, "{message}")), template(or(d.PublishFrame, "{message}"))
	if d.Separator != "" {
		p.separator = template(d.Separator).Append(nil, &Values{})
	}
	p.accepts = [2]int{200, 299}
	if d.PublishStatus != "" {
		if n, _ := fmt.Sscanf(d.PublishStatus+"-"+d.PublishStatus, "%d-%d", &p.accepts[0], &p.accepts[1]); n != 2 {
			return nil, fmt.Errorf("publish-status %q: must be like 200-299, or 202", d.PublishStatus)
		}
	}
	p.reject, p.refusal = pattern(d.Reject), pattern(d.PublishReject)
	for _, s := range steps {
		stage := Stage{Expect: pattern(s.Expect)}
		if stage.Expect == nil {
			stage.Send = template(s.Send)
		}
		p.Steps = append(p.Steps, stage)
	}
	for _, text := range d.Ping {
		when, reply, found := strings.Cut(text, "=>")
		if !found && !strings.HasPrefix(text, "/") {
			when, reply, found = strings.Cut(text, "=")
		}
		r := rule{reply: template(reply)}
		if !found {
			r.reply = nil
		}
		if w := pattern(when); w != nil {
			r.Pattern = *w
			p.rules = append(p.rules, r)
		}
	}
	if d.PingEvery != "" && err == nil {
		every, text, _ := strings.Cut(d.PingEvery, "=")
		p.Beat = template(text)
		if p.Every, err = time.ParseDuration(every); err != nil || p.Every <= 0 {
			return nil, fmt.Errorf("ping-every %q: must be like 25s=TEXT", d.PingEvery)
		}
	}
	if _, header := d.cursorHeader(); d.Cursor != "" && !header && err == nil {
		if p.cursor, err = compileExtract(d.Cursor); err != nil {
			err = fmt.Errorf("cursor %q: must be a JSON path, like $.next, a regular expression with a group, or header:NAME", d.Cursor)
		}
	}
	for _, text := range d.Extract {
		x, e := compileExtract(text)
		if e != nil {
			return nil, e
		}
		p.extract = append(p.extract, x)
	}
	if p.extract == nil {
		p.extract = []*Extract{{}}
	}
	return p, err
}

// withChannel is path with the channel in the query, where the dialect has it there.
func (d *Dialect) withChannel(path string) string {
	if len(d.Parameters) == 0 || strings.Contains(path, "{channel}") {
		return path
	}
	before, query, _ := strings.Cut(path, "?")
	fields := strings.FieldsFunc(query, func(r rune) bool { return r == '&' })
	for i, field := range fields {
		if name, value, _ := strings.Cut(field, "="); slices.Contains(d.Parameters, name) {
			if value == "" {
				fields[i] = name + "={channel}"
			}
			return before + "?" + strings.Join(fields, "&")
		}
	}
	return before + "?" + strings.Join(append(fields, d.Parameters[0]+"={channel}"), "&")
}

// cursorHeader is the header line that has the cursor, if one has it.
func (d *Dialect) cursorHeader() (name string, ok bool) {
	return strings.CutPrefix(d.Cursor, "header:")
}

// Polls returns an error if the dialect has what a long poll cannot do.
func (p *Peer) Polls() error {
	replies := func(r rule) bool { return r.reply != nil }
	if len(p.Steps) > 0 || p.Every > 0 || slices.ContainsFunc(p.rules, replies) {
		return errors.New("a long poll only asks: use it without send, expect, ping-every, and ping with a reply")
	}
	return nil
}

// NextCursor is what the next long poll names, after a response with a body and header lines; nil:
// what this one did.
func (p *Peer) NextCursor(body []byte, header func(name string) []byte) []byte {
	if name, ok := p.cursorHeader(); ok {
		return header(name)
	}
	if p.cursor == nil {
		return nil
	}
	if found := p.cursor.Append(nil, body); len(found) > 0 {
		return found[0]
	}
	return nil
}

// Payloads returns what a message carries.
func (p *Peer) Payloads(message []byte) [][]byte {
	p.found = p.found[:0]
	for i := 0; i < len(p.extract) && len(p.found) == 0; i++ {
		p.found = p.extract[i].Append(p.found, message)
	}
	return p.found
}

// Verdict is what a message means that is not, or not only, a publication.
type Verdict struct {
	Expected bool     // the step waits for it
	Rejected bool     // the server reports an error
	Known    bool     // one of these, or a ping
	Reply    Template // to send; nil: nothing
}

// Judge says what a message is to a connection in step, which is the number of all
// steps once it is open.
func (p *Peer) Judge(message []byte, step int, v *Values) (is Verdict) {
	matches := func(pattern *Pattern) (is bool) {
		if pattern != nil {
			is, p.scratch = pattern.match(message, p.scratch, v)
		}
		return is
	}
	is.Expected = step < len(p.Steps) && matches(p.Steps[step].Expect)
	is.Rejected = !is.Expected && matches(p.reject)
	is.Known = is.Expected || is.Rejected
	for i := 0; i < len(p.rules) && !is.Known; i++ {
		if is.Known = matches(&p.rules[i].Pattern); is.Known {
			is.Reply = p.rules[i].reply
		}
	}
	return is
}

// Request returns the parts of the request that publishes v.Message. A signature reads
// the clock.
func (p *Peer) Request(v *Values) (method, path, header string, body []byte) {
	p.scratch = p.body.Append(p.scratch[:0], v)
	method, path = or(p.PublishMethod, "POST"), p.Path.Text(v)
	if p.Code == "pusher" {
		path = sign(p.Secret, method, path, p.scratch, time.Now().Unix())
	}
	return method, path, p.Header.Text(v), p.scratch
}

// Message appends the frame's payload that publishes v.Message.
func (p *Peer) Message(dst []byte, v *Values) []byte { return p.frame.Append(dst, v) }

// Accepts reports whether a response accepts a publication. Any goroutine may call it.
func (p *Peer) Accepts(status int, body []byte) bool {
	if p.refusal != nil {
		if refused, _ := p.refusal.match(body, nil, &Values{}); refused {
			return false
		}
	}
	return p.accepts[0] <= status && status <= p.accepts[1]
}

// Next divides the first message from the rest of a frame.
func (p *Peer) Next(frame []byte) (message, rest []byte, more bool) {
	if p.separator == nil {
		return frame, nil, false
	}
	return bytes.Cut(frame, p.separator)
}

// Opcode is of the frames that are sent (RFC 6455 §5.2).
func (p *Peer) Opcode() byte {
	if p.Binary {
		return 2
	}
	return 1
}
