//! Talks with one machine, one for each rule.
