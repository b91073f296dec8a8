// What a session asks its engine to do: bytes to send, and work for the store.

package import Codec
package import Wire

/// One step that a session wants done, in order.
package enum Effect: Sendable, Equatable {
    case send(Message)
    /// The hello was acceptable; the engine decides between several connections of one pair.
    case greeted(HelloMessage)
    /// The peer said where it stands; `isFirst` for the state that opens the session.
    case stated(StatementMessage, isFirst: Bool)
    case adoptSchema(fingerprint: UInt64, CBOR)
    case wanted(WantMessage)
    /// The peer took chunks: more may be sent.
    case credited
    case apply(ChunkMessage, HeaderMessage)
    case finish(HeaderMessage)
    case applyWhole(ChunkMessage, HeaderMessage)
    /// The peer wants to know where these members stand.
    case asked([String])
    /// It says where others stand.
    case reported([StatementReport])
    /// The peer ended the connection.
    case left(GoodbyeMessage)
    /// Tell the peer why and end the connection.
    case refuse(SyncError)
}
