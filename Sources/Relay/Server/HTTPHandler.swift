// What lies behind HTTP: the calls that the daemon makes for each connection and each request.

/// What HTTP asks of the relay. All of it on threads of HTTP, which must not wait.
protocol HTTPHandler: AnyObject, Sendable {
    /// The headers have come.
    ///
    /// - Returns: whether the connection was suspended.
    func began(_ exchange: Exchange, _ head: RequestHead)
    /// A part of the body has come.
    ///
    /// - Returns: false to close the connection.
    func received(_ exchange: Exchange, _ part: UnsafeRawBufferPointer) -> Bool
    /// The whole body has come, and there is no answer yet: a worker has to give one.
    func ended(_ exchange: Exchange)
    /// The answer is about to be sent.
    func answers(_ exchange: Exchange, _ answer: RelayAnswer)
    /// It is over, in whatever way.
    func completed(_ exchange: Exchange)
    /// The next piece of a snapshot is wanted; the connection is suspended.
    func load(_ number: Int64, of download: Download)
    func opened(_ connection: UInt, socket: Int32)
    func closed(_ connection: UInt)
}
