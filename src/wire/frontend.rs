//! What a client sends after login: views of Parse, Bind, Describe, Close.
