// Package storetest is what tests of stores and of those who use a store share: random visits, what a store gives back
// of a visit, a store in memory, and a suite that every store passes. It imports only health.
package storetest
