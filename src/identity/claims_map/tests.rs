//! Files that map claims to roles, line by line.
