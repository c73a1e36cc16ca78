// Package secret holds passwords and tokens so that they do not print, and the references by which a configuration names
// them: env:NAME, file:/path, cred:NAME (systemd credentials), or the secret itself, inline.
//
// A [Ref] is what stands in the configuration; it is resolved late, when a session is opened, and again after a reload,
// so that a rotated password needs no restart. A [Secret] is what came out. Both print *** (a reference that is not
// inline prints itself) under every fmt verb, in JSON, in TOML, XML and slog; the one way to the text is
// [Secret.Reveal].
//
// A relative file: path belongs to the folder of the file that names it: config calls [Ref.In] with that folder. A
// reference from the command line is relative to the working directory.
package secret
