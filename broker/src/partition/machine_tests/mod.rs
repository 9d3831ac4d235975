//! The machines of one partition under a seeded scheduler, and conversations about each rule.
