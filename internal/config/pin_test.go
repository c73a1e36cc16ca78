package config_test

import (
	"bytes"
	"strings"
	"testing"

	"dewline/internal/config"
)

func TestPin(t *testing.T) {
	const print = "ababababababababababababababababababababababababababababababab12"
	const head = "# mine\n[[credential]]\nname = \"c\"\nusername = \"u\"\npassword = \"env:X\"\n\n"
	for name, c := range map[string]struct {
		text, want string // want: what the text becomes; "" is refused
		refusal    string
	}{
		"below the address, with its indent and comment": {
			head + "[[target]]\n  name = \"a\" # the first\n  address = \"https://10.0.0.1\"   # old\n  credential = \"c\"\n",
			head + "[[target]]\n  name = \"a\" # the first\n  address = \"https://10.0.0.1\"   # old\n  tls = { fingerprint = \"" + print + "\" }\n  credential = \"c\"\n", "",
		},
		"lines that end with CR LF, and a byte order mark": {
			"\xef\xbb\xbf" + strings.ReplaceAll(head+"[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ncredential = \"c\"\n", "\n", "\r\n"),
			"\xef\xbb\xbf" + strings.ReplaceAll(head+"[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ntls = { fingerprint = \""+print+"\" }\ncredential = \"c\"\n", "\n", "\r\n"), "",
		},
		"a last line that is not ended": {
			head + "[[target]]\nname = \"a\"\ncredential = \"c\"\naddress = \"https://10.0.0.1\"",
			head + "[[target]]\nname = \"a\"\ncredential = \"c\"\naddress = \"https://10.0.0.1\"\ntls = { fingerprint = \"" + print + "\" }", "",
		},
		"the one of its name among others": {
			head + "[[target]]\nname = \"z\"\naddress = \"https://10.0.0.9\"\ncredential = \"c\"\n[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ncredential = \"c\"\nlabels = { x = \"y\" }\n",
			head + "[[target]]\nname = \"z\"\naddress = \"https://10.0.0.9\"\ncredential = \"c\"\n[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ntls = { fingerprint = \"" + print + "\" }\ncredential = \"c\"\nlabels = { x = \"y\" }\n", "",
		},
		"another pin":               {head + "[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ncredential = \"c\"\ntls = { fingerprint = \"" + strings.Repeat("00", 32) + "\" }\n", "", "f.toml:11: target \"a\" says already"},
		"a table of its own":        {head + "[[target]]\nname = \"a\"\naddress = \"https://10.0.0.1\"\ncredential = \"c\"\n[target.tls]\ninsecure = true\n", "", "says already"},
		"an array of inline tables": {"target = [{ name = \"a\", address = \"https://10.0.0.1\", credential = \"c\" }]\n" + head, "", "not in a [[target]] of its own"},
		"no such target":            {head + "[[target]]\nname = \"b\"\naddress = \"https://10.0.0.1\"\ncredential = \"c\"\n", "", "no target \"a\""},
		"a broken file":             {"[[target]\n", "", "f.toml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			out, text, line, err := config.Pin("f.toml", []byte(c.text), "a", print)
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), c.refusal) || out != nil {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || string(out) != c.want {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := bytes.Split(out, []byte("\n"))[line-1]; !bytes.Contains(got, []byte(text)) {
				t.Errorf("line %d is %q", line, got)
			}
		})
	}
}
