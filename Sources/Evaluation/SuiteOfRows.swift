extension Suite {
    /// Rows of other suites, put together.
    ///
    /// - Throws: `.noRows`.
    public init(_ name: String, of rows: [Row]) throws(EvaluationError) { try self.init(name: name, rows: rows, file: name) }
}
