//! Messages of clients, and answers.
