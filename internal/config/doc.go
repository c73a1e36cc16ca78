// Package config reads dewline.toml: strict TOML into typed values, or every fault of the file with its line and column.
//
// A file is read in three steps. The tree keeps each key with its place; decoding lays the tree over the private raw
// structs and finds unknown keys and wrong types; checking turns raw values into typed ones and knows what they mean.
// Each step goes on after a fault, so that one run of `dewline check` shows them all. Where a line cannot be read as TOML
// at all, what depends on the whole (missing keys, unknown credentials) is not judged.
//
// Relative paths (data_dir, ca_file, file: secrets) belong to the folder of the configuration file, wherever dewline is
// started. Secrets stay references here (package secret) and are resolved by whoever uses them; no message holds one.
package config
