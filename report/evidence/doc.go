// Package evidence makes a folder of files into something that can be checked in two years: a list of their SHA-256 sums,
// signed with Ed25519 in minisign's format, and the same folder as a ZIP.
//
//	MANIFEST          what `sha256sum` prints: a sum and a name per line, sorted by name; every file but these three
//	MANIFEST.minisig  minisign's signature of MANIFEST; its trusted comment says which report this is, and when
//	signer.pub        the public key, for convenience: a reader who wants to know who signed needs it from elsewhere
//
// Anyone can check it without dewline: `sha256sum -c MANIFEST` and `minisign -V -m MANIFEST -p KEY`.
//
// # What a good check proves
//
// That no file was changed, added or removed since it was signed, and that whoever signed had the key. Not that the BMCs told the
// truth, nor when it was signed: the time in it is the signer's word. With the key that lies in the folder itself, not even
// who signed: anyone who changes the files can sign anew with another key.
package evidence
