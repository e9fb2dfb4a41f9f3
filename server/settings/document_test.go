package settings_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"peal/server/settings"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const intro = `# Configuration

<!-- Generated from server/settings by: go test ./server/settings -run Document -update -->

No setting is required. Peal takes each setting from the first of these sources that has it:

1. **flags**: ` + "`peal serve --drain 30s`" + `;
2. **the environment**: ` + "`PEAL_DRAIN=30s`" + `, the name in capitals with ` + "`_` for `-`" + `;
3. **a YAML file**, named by ` + "`--config FILE` or `PEAL_CONFIG`" + `: one line for each setting, as in ` + "`drain: 30s`" + `;
4. the defaults below.

Sizes are written ` + "`64KiB`, `1MiB`, `2GiB`" + ` or in bytes, durations ` + "`500ms`, `10s`, `1h30m`" + `, rates ` + "`20/s`, `20/s burst 100`, `30/m` or `off`" + `, switches ` + "`true` or `false`" + `. Lists are
` + "`[a, b]`" + ` in the file, ` + "`a,b`" + ` in the environment, and repeated flags. An empty variable counts as none.

` + "`peal serve --print-config`" + ` prints the effective settings as such a file, with the source of each value. ` + "`peal serve --check`" + `
validates a configuration and exits. Peal reports all unknown names and invalid values at once and exits with code 2.
Limits must fit together: held-bytes must hold a message of message-bytes, input-bytes a batch of batch-bytes, and so on. If a limit is too small for
another, Peal does not start, and the error gives the number to set.
You can use the printed file on another machine: defaults that depend on the machine are comments in it.

Kubernetes adds variables for every Service of the namespace to the environment of every container. Peal ignores such variables
(` + "`PEAL_…_SERVICE_HOST`, `PEAL_…_SERVICE_PORT`, `PEAL_…_PORT=tcp://…`, `PEAL_…_PORT_8080_TCP_ADDR`" + ` and similar), whatever the
name of the Service.

## Reload: SIGHUP

` + "`kill -HUP`" + ` (` + "`ExecReload=kill -HUP $MAINPID`" + ` in a systemd unit) reloads the configuration file and the files of keys and tokens; so does ` + "`peal reload`" + `, which asks the ` + "`admin`" + ` listener and prints what changed, or what is wrong. Flags and variables still take
precedence. A running server applies %s, the [keys](#keys) and the [apps](#apps) with their files, and
of the [channel rules](#channel-rules) all but ` + "`match` and `history-…`" + `. For every other changed setting, the log has a line that
names it: it takes effect after a restart. If the file has a fault, or the server cannot apply it, all settings stay as they are, and the log
has the reason. Existing connections stay open, even beyond a lower ` + "`max-connections`" + `.

SIGHUP drains and stops the server, as SIGTERM does, in two cases: there is neither a configuration file nor a key file, or the terminal from which the
server was started has been closed. Under ` + "`nohup`" + ` SIGHUP is ignored.
`

// example is the document's example of rules; a test reads it.
const example = `message-bytes: 32KiB
channels:
  - match: "prices.*"
    history-messages: 1
    slow: latest
    client-publish: false
  - match: "chat.*"
    history-age: 24h
    message-bytes: 4KiB
    max-subscribers: 5000
`

// keyExample is the document's example of keys; a test reads it.
const keyExample = `keys:
  - name: shop
    digest: "sha256:6c2586611dccc965fc9605b60632fd76468b51dcecfbbf6288bba430433c6265"
    allow: ["publish:orders.*", disconnect]
`

const keyIntro = `
## Keys

Backends prove who they are by keys. The configuration has the digest of each key and what the key may do; ` + "`peal key create`" + ` prints a key with
these lines. [keys.md](keys.md) describes how to create, use, replace and revoke keys. Keys exist in the configuration file, under ` + "`keys`" + `, and in the
files that ` + "`key-file`" + ` names, which have the same form:

` + "```yaml\n" + keyExample + "```" + `

There are at most 1,000 keys, each with at most 100 entries in ` + "`allow`" + `. ` + "`--print-config`" + ` shows no digests.

| Key | Kind | Default | Range | What it is |
| --- | --- | --- | --- | --- |
`

const ruleIntro = `
## Channel rules

Rules change settings for some channels. The first rule whose ` + "`match`" + ` fits the name of a channel applies to it; the settings above apply to
everything that this rule omits, and to channels without a rule. Rules do not combine. They exist only in the configuration file, under
` + "`channels`" + `: there is no flag and no variable for them.

` + "```yaml\n" + example + "```" + `

In ` + "`match`, `*`" + ` matches any characters, also none and also ` + "`.` and `/`" + `. A ` + "`\\`" + ` makes the next character stand for itself:
` + "`\\*`" + ` is a star and ` + "`\\\\`" + ` a backslash. Names that begin with ` + "`$`" + ` are the server's; only a pattern that begins with ` + "`$`" + ` matches them. Put
patterns in single quotes: YAML has its own use for a leading ` + "`*`" + ` and, in double quotes, for backslashes. There are at most 1,000
rules. Peal refuses a rule that can never match because an earlier rule matches all its channels.

| Key | Kind | Default | Range | What it is |
| --- | --- | --- | --- | --- |
`

// appExample is the document's example of apps; a test reads it.
const appExample = `apps:
  - id: 1
    key: shop-key
    secret-file: /etc/peal/shop.secret
  - id: 2
    key: crm-key
    secret: "cf1a2f0b81c74e3e"
    namespace: "crm:"
    client-events: false
`

const appIntro = `
## Apps

Apps are those of the Pusher Channels protocol ([pusher.md](pusher.md)): clients connect with the key of an app, and its backend signs with its secret. Apps exist in the configuration file,
under ` + "`apps`" + `, and in the files that ` + "`app-file`" + ` names, which have the same form; ` + "`app`" + ` adds one more. If none of them has an app, Peal takes the one that the variables ` + "`REVERB_APP_ID`, `REVERB_APP_KEY` and `REVERB_APP_SECRET`" + ` describe, or
` + "`PUSHER_APP_ID`, `PUSHER_APP_KEY` and `PUSHER_APP_SECRET`" + `, so that a server for another product is replaced without a configuration:

` + "```yaml\n" + appExample + "```" + `

There are at most 1,000 apps. Each has another namespace, and one may have none. A reload changes apps; connections whose app has gone, or has another key, end.
` + "`--print-config`" + ` shows no secrets.

| Key | Kind | Default | Range | What it is |
| --- | --- | --- | --- | --- |
`

// webhookExample is the document's example of webhooks; a test reads it.
const webhookExample = `webhooks:
  - name: orders
    url: https://shop.example/hooks/peal
    events: [publication]
    channels: ["orders.*"]
    secret-file: /etc/peal/orders.secret
  - name: chat
    url: https://chat.example/pusher/webhook
    events: [channel_occupied, channel_vacated, member_added, member_removed, client_event]
    app: 1
`

const webhookIntro = `
## Webhooks

Webhooks tell backends what happens: Peal sends events of the log with POST, signed, in order and at least once. [webhooks.md](webhooks.md) describes the requests. They exist only in the
configuration file, under ` + "`webhooks`" + `; a reload takes a change:

` + "```yaml\n" + webhookExample + "```" + `

There are at most 100 webhooks. ` + "`--print-config`" + ` shows no secrets, and no queries of URLs.

| Key | Kind | Default | Range | What it is |
| --- | --- | --- | --- | --- |
`

// askExample is the document's example of asking; a test reads it.
const askExample = `ask:
  - url: https://shop.example/peal/ask
    secret-file: /etc/peal/ask.secret
    on: [connect, subscribe]
    channels: ["orders.*"]
    headers: [Cookie]
`

const askIntro = `
## Asking a backend

Peal can ask your backend whether a client may connect, subscribe or publish. [callbacks.md](callbacks.md) describes questions and answers. It exists only in the configuration file, as the one item of ` + "`ask`" + `;
a reload changes it, and reads ` + "`secret-file`" + ` again:

` + "```yaml\n" + askExample + "```" + `

` + "`--print-config`" + ` shows no secrets, and no queries of URLs.

| Key | Kind | Default | Range | What it is |
| --- | --- | --- | --- | --- |
`

// document is docs/configuration.md.
func document() string {
	var b strings.Builder
	var live []string
	for _, s := range settings.All() {
		if s.Live {
			live = append(live, "`"+s.Name+"`")
		}
	}
	fmt.Fprintf(&b, intro, strings.Join(live, ", "))
	for _, g := range settings.Groups() {
		fmt.Fprintf(&b, "\n## %s\n\n", g.Title)
		if g.About != "" {
			fmt.Fprintf(&b, "%s\n\n", g.About)
		}
		b.WriteString("| Flag, key | Environment | Kind | Default | Range | What it is, and what raising it costs |\n| --- | --- | --- | --- | --- | --- |\n")
		for _, s := range g.Settings {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", s.Name, s.Variable(), s.Kind(), s.DefaultText(), s.Range(), s.Help)
		}
	}
	b.WriteString(keyIntro)
	for _, s := range settings.Keys.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Kind(), s.DefaultText(), s.Range(), s.Help)
	}
	b.WriteString(appIntro)
	for _, s := range settings.Apps.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Kind(), s.DefaultText(), s.Range(), s.Help)
	}
	b.WriteString(ruleIntro)
	for _, s := range settings.Rules.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Kind(), s.DefaultText(), s.Range(), s.Help)
	}
	b.WriteString(webhookIntro)
	for _, s := range settings.Webhooks.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Kind(), s.DefaultText(), s.Range(), s.Help)
	}
	b.WriteString(askIntro)
	for _, s := range settings.Asking.Settings {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.Name, s.Kind(), s.DefaultText(), s.Range(), s.Help)
	}
	return b.String()
}

func TestDocumentIsInStep(t *testing.T) {
	const path = "../../docs/configuration.md"
	if *update {
		if err := os.WriteFile(path, []byte(document()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != document() {
		t.Error("docs/configuration.md is out of step: go test ./server/settings -run Document -update")
	}
}
