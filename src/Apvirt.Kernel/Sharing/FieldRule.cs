namespace Apvirt.Kernel.Sharing;

/// <summary>What is stated of a field that several tasks can reach: its name, the same in every execution. Immutable.</summary>
/// <param name="field">Canonical name of the field, such as <c>mdev.kvm</c>.</param>
public abstract class FieldRule(string field)
{
    /// <summary>Canonical name of the field.</summary>
    public string Field { get; } = field;

    /// <inheritdoc/>
    public override string ToString() => Field;
}

/// <summary>A field that no lock guards, and why none need do so. Rows of docs/locking.md come from these.</summary>
/// <param name="field">Canonical name of the field, such as <c>vcpu.state</c>.</param>
/// <param name="why">Why no lock guards it, in a sentence.</param>
public sealed class SharedField(string field, string why) : FieldRule(field)
{
    /// <summary>Why no lock guards it.</summary>
    public string Why { get; } = why;
}
