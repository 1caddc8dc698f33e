//! The first packets of a client: SSLRequest, GSSENCRequest, CancelRequest, StartupMessage.
