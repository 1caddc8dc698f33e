//! What a server sends: views of ErrorResponse, ParameterStatus, ReadyForQuery, and login messages.
