// Package floors holds the test that keeps imports going down, as docs/ARCHITECTURE.md draws them. It has no code of its
// own: a new package of the module is entered in the table in floors_test.go.
package floors
