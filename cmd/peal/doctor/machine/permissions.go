package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"peal/cmd/peal/doctor"
)

// permissions checks who can read what the server keeps and uses.
func (m *Machine) permissions() (all []doctor.Finding) {
	for _, p := range m.secrets() {
		all = append(all, m.secret(p))
	}
	if dir := m.logDir(); dir != "" {
		all = append(all, m.logPermissions(dir))
	}
	if len(m.Config.TLS.ACME.Domains) > 0 {
		all = append(all, m.acmePermissions(m.whole(m.Config.TLS.ACME.Dir)))
	}
	for _, a := range m.sockets() {
		all = append(all, m.socketDir(a))
	}
	if len(all) == 0 {
		return one(doctor.Skip("permissions", "the configuration has no secrets, log or sockets in files"))
	}
	return all
}

// secrets are the files from which somebody could take a secret. Key files of tokens
// have public keys; those of backends have digests, and still the list of what each may do.
func (m *Machine) secrets() (list []string) {
	if f := m.Config.Token.SecretFile; f != "" {
		list = append(list, m.whole(f))
	}
	for _, f := range m.Config.TLS.Keys {
		list = append(list, m.whole(f))
	}
	if f := m.Config.AdminTLS.Key; f != "" {
		list = append(list, m.whole(f))
	}
	if len(m.Config.Token.Secrets) > 0 {
		for _, f := range m.Sources {
			list = append(list, m.whole(f))
		}
	}
	return list
}

func (m *Machine) secret(p string) doctor.Finding {
	const check = "secret-file"
	i, err := m.stat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Fail(check, p+" does not exist", "the server does not start without it", "a file with the secret (docs/tokens.md) or the key (docs/tls.md)")
	case err != nil:
		return doctor.Skip(check, "%v", err)
	case i.Mode().Perm()&0o007 != 0:
		return doctor.Fail(check, fmt.Sprintf("%s has mode %04o: every user of the machine can read it", p, i.Mode().Perm()), "a user who reads it can sign tokens for every user of your application, or be your server for others", "chmod 600 "+p)
	}
	return doctor.Fine(check, "%s has mode %04o", p, i.Mode().Perm())
}

func (m *Machine) logPermissions(dir string) doctor.Finding {
	const check = "log-directory"
	i, err := m.stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Fine(check, "%s does not exist yet: the server creates it", dir)
	case err != nil:
		return doctor.Skip(check, "%v", err)
	case !i.IsDir():
		return doctor.Fail(check, dir+" is no directory", "the server does not start", "--log file:DIR  with another directory")
	case i.Mode().Perm()&0o002 != 0:
		return doctor.Fail(check, fmt.Sprintf("%s has mode %04o: every user of the machine can write there", dir, i.Mode().Perm()), "a user can replace the log and remove revocations of tokens", "chmod 750 "+dir)
	case i.Mode().Perm()&0o005 != 0:
		return doctor.Warn(check, fmt.Sprintf("%s has mode %04o: every user of the machine can list it", dir, i.Mode().Perm()), "the files of the log have the text of all messages", "chmod 750 "+dir)
	}
	return doctor.Fine(check, "%s has mode %04o", dir, i.Mode().Perm())
}

// acmePermissions checks the directory with the keys of certificates that the server
// obtains.
func (m *Machine) acmePermissions(dir string) doctor.Finding {
	const check = "acme-directory"
	i, err := m.stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Fine(check, "%s does not exist yet: the server creates it", dir)
	case err != nil:
		return doctor.Skip(check, "%v", err)
	case i.Mode().Perm()&0o007 != 0:
		return doctor.Fail(check, fmt.Sprintf("%s has mode %04o: every user of the machine can look into it", dir, i.Mode().Perm()), "it has the keys of your certificates and of your account", "chmod 700 "+dir)
	}
	return doctor.Fine(check, "%s has mode %04o", dir, i.Mode().Perm())
}

// sockets are the paths of the Unix sockets of the configuration.
func (m *Machine) sockets() (list []string) {
	for _, a := range append([]string{m.Config.Admin}, m.Config.Listen...) {
		if p, ok := strings.CutPrefix(a, "unix:"); ok && !strings.HasPrefix(p, "@") {
			list = append(list, m.whole(p))
		}
	}
	return list
}

func (m *Machine) socketDir(socket string) doctor.Finding {
	const check = "socket-directory"
	dir := path.Dir(socket)
	i, err := m.stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return doctor.Fail(check, dir+" does not exist", "the server cannot create "+socket, "RuntimeDirectory=peal  (in the [Service] section of the systemd unit, for /run/peal)", "install -d -m 0755 -o peal -g peal "+dir)
	case err != nil:
		return doctor.Skip(check, "%v", err)
	case !i.IsDir():
		return doctor.Fail(check, dir+" is no directory", "the server cannot create "+socket, "another path in listen or admin")
	case i.Mode().Perm()&0o002 != 0 && i.Mode()&fs.ModeSticky == 0:
		return doctor.Warn(check, fmt.Sprintf("%s has mode %04o, and every user can remove what is in it", dir, i.Mode().Perm()), "a user can put a socket of his own in place of the server's, and read what clients send", "chmod 755 "+dir)
	case m.Config.SocketMode != "0600" && i.Mode().Perm()&0o011 == 0 && !strings.HasSuffix(m.Config.SocketMode, "00"):
		return doctor.Warn(check, fmt.Sprintf("%s has mode %04o: no other user can reach the socket, whose socket-mode is %s", dir, i.Mode().Perm(), m.Config.SocketMode), "a proxy of another user gets \"permission denied\", and its clients 502", "chmod 755 "+dir)
	}
	return doctor.Fine(check, "%s has mode %04o", dir, i.Mode().Perm())
}
