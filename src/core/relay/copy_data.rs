//! What a client sends of a COPY: data, and their end.
//!
//! Never keeps a byte, never waits for an answer. Source: PostgreSQL documentation, "Message Flow": "COPY
//! Operations".

use super::context::{Relay, Step};
use crate::base::ClientId;
use crate::core::net::Net;
use crate::wire::FrameHeader;
use crate::wire::tags::client as tag;

impl<N: Net> Relay<'_, N, ClientId> {
    /// COPY data and their end. Those that come when nobody takes them any more are dropped silently.
    pub(super) fn copy_frame(&mut self, header: FrameHeader) -> Step {
        let Some(server_id) = self.core.clients[self.id].link() else {
            self.drop_frame(header.frame_bytes);
            return Step::Next;
        };
        let server = &mut self.core.servers[server_id];
        let takes = server.expected.takes_copy_data();
        let ended = header.tag != tag::COPY_DATA && server.expected.copy_ended();
        if takes {
            if header.tag == tag::COPY_DATA {
                server.expected.copy_data_sent();
            }
            self.extend_run(header.tag, header.frame_bytes);
            return Step::Next;
        }
        self.flush();
        self.drop_frame(header.frame_bytes);
        if ended && self.core.servers[server_id].is_clean() {
            // The late end of a COPY that the server had failed: no answer comes, so this
            // is where the link may end.
            return self.link_over(server_id);
        }
        Step::Next
    }
}
