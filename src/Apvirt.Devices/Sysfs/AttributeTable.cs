using System.Collections.Frozen;
using System.Collections.Immutable;

namespace Apvirt.Devices.Sysfs;

/// <summary>The attributes of a type of object, in the order in which a listing shows them. Immutable and shared.</summary>
public sealed class AttributeTable
{
    private readonly ImmutableArray<SysfsAttribute> _attributes;
    private readonly FrozenDictionary<string, SysfsAttribute>.AlternateLookup<ReadOnlySpan<char>> _byName;

    /// <summary>Makes a table.</summary>
    /// <param name="attributes">The attributes; names are unique.</param>
    public AttributeTable(params IEnumerable<SysfsAttribute> attributes)
    {
        _attributes = [.. attributes];
        _byName = _attributes.ToFrozenDictionary(a => a.Name, StringComparer.Ordinal).GetAlternateLookup<ReadOnlySpan<char>>();
    }

    /// <summary>A table without attributes.</summary>
    public static AttributeTable Empty { get; } = new([]);

    /// <summary>The attributes in order.</summary>
    public ReadOnlySpan<SysfsAttribute> Attributes => _attributes.AsSpan();

    /// <summary>Finds an attribute by name.</summary>
    /// <param name="name">File name.</param>
    /// <returns>Null if there is none.</returns>
    public SysfsAttribute? Find(ReadOnlySpan<char> name) =>
        _byName.TryGetValue(name, out SysfsAttribute? attribute) ? attribute : null;
}
