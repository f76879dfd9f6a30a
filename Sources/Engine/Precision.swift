/// How a version's layers are computed.
public enum Precision: String, Sendable, CaseIterable {
    /// Eight-bit weights and activations; the best candidates are scored anew from the exact weights.
    case fast
    /// fp32 from the weights as they are stored.
    case exact
}
