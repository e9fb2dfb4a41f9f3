package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"peal/server/webhook"
)

func newWebhooks() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "webhooks",
		Short: "Show the webhooks of a running server, and what could not be delivered",
		Long: `Asks the admin listener of a running server (peal serve --admin) for its webhooks and
for the dead letters: requests that no attempt delivered within retry-for. "peal webhooks retry"
sends them again, "peal webhooks drop" forgets them. Counts are those of the node that you ask, since its
start. The exit code is 1 if a webhook fails, or if there are dead letters.`,
		Args: noArgs,
	}
	a := webhookFlags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the response as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := a.do(c.Context(), http.MethodGet, "")
		if err != nil {
			return err
		}
		return showWebhooks(c.OutOrStdout(), text, asJSON)
	}
	c.AddCommand(
		webhookOrder("retry", "Send dead letters of a webhook again", `Sends the dead letters of a webhook again, each once and in their order, with the ids that they had, and
forgets those that were delivered. It ends with the first that fails. If the webhook waits for its next
attempt, the server makes it now.`),
		webhookOrder("drop", "Forget dead letters of a webhook", `Forgets dead letters. They cannot be restored.`))
	return c
}

func webhookFlags(c *cobra.Command) *adminListener {
	return adminFlags(c.Flags(), "webhooks", "/webhooks", false, time.Minute, "how long the response may take")
}

func webhookOrder(name, short, long string) *cobra.Command {
	var id string
	var all bool
	c := &cobra.Command{
		Use:   name + " WEBHOOK",
		Short: short,
		Long:  long,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("webhooks %s: name one webhook of the configuration, as in peal webhooks %s shop --all", name, name)}
			}
			return nil
		},
	}
	a := webhookFlags(c)
	c.Flags().StringVar(&id, "id", "", "id of one dead letter, as peal webhooks prints it")
	c.Flags().BoolVar(&all, "all", false, "all dead letters of the webhook")
	c.RunE = func(c *cobra.Command, args []string) error {
		if all == (id != "") {
			return usageError{fmt.Errorf("webhooks %s: give --id for one dead letter, or --all", name)}
		}
		query := url.Values{"webhook": {args[0]}}
		if id != "" {
			query.Set("id", id)
		}
		text, err := a.do(c.Context(), http.MethodPost, "/"+name+"?"+query.Encode())
		if err == nil {
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
		}
		return err
	}
	return c
}

func showWebhooks(w io.Writer, text string, asJSON bool) error {
	var s webhook.Status
	if err := json.Unmarshal([]byte(text), &s); err != nil || s.Webhooks == nil {
		return errors.New("webhooks: the response is not a list of webhooks: give the URL of the admin listener with /webhooks")
	}
	if asJSON {
		fmt.Fprintln(w, text)
	} else {
		printWebhooks(w, &s)
	}
	var faults []string
	for _, one := range s.Webhooks {
		if one.Failing {
			faults = append(faults, fmt.Sprintf("webhook %q fails: %s", one.Name, one.Reason))
		}
	}
	if len(s.Letters) > 0 {
		faults = append(faults, fmt.Sprintf("%d dead letters", len(s.Letters)))
	}
	if len(faults) > 0 {
		return fmt.Errorf("webhooks: %s", strings.Join(faults, "; "))
	}
	return nil
}

// stateOf is the state of a webhook in words.
func stateOf(w *webhook.Stat) string {
	switch {
	case w.Reason != "":
		return w.Reason
	case w.Delivers:
		return "ok"
	case w.Node != 0:
		return "another node delivers"
	}
	return "no node delivers yet"
}

func printWebhooks(w io.Writer, s *webhook.Status) {
	if len(s.Webhooks) == 0 {
		fmt.Fprintln(w, "no webhooks are configured")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Webhooks) > 0 {
		fmt.Fprintln(t, "WEBHOOK\tURL\tDELIVERED\tFAILED\tDEAD\tLAG\tAGE\tCURSOR\tSTATE\t")
	}
	for _, one := range s.Webhooks {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n", plain(one.Name, 60), plain(one.URL, 200), one.Delivered, one.Failed, one.Dead, one.Lag, ms(one.Age), cmp.Or(one.Cursor, "-"), plain(stateOf(&one), 300))
	}
	if len(s.Letters) > 0 {
		fmt.Fprintln(t, "\nDEAD LETTERS\tID\tEVENTS\tATTEMPTS\tNEWEST EVENT\tGIVEN UP\tREASON\t")
	}
	for _, l := range s.Letters {
		at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t\n", l.Webhook, l.ID, l.Events, l.Attempts, at(l.Newest), at(l.Died), plain(l.Reason, 300))
	}
	_ = t.Flush() // to a terminal or a pipe: as for every line
	if s.Dropped > 0 {
		fmt.Fprintf(w, "\n%d dead letters were lost, because there was no room\n", s.Dropped)
	}
}
