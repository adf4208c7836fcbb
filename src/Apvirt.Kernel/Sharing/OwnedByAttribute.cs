namespace Apvirt.Kernel.Sharing;

/// <summary>
/// Says why a field that can change needs none of the forms of shared state: one task at a time has it, and who that is. On a
/// type it says so of all its fields. A test asks for it (the rule of shared state among the house rules).
/// </summary>
/// <param name="reason">Who has it and since when, in a sentence.</param>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property | AttributeTargets.Class | AttributeTargets.Struct, Inherited = false)]
public sealed class OwnedByAttribute(string reason) : Attribute
{
    /// <summary>Who has it and since when.</summary>
    public string Reason { get; } = reason;
}
