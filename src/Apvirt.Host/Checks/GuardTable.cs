using System.Collections.Frozen;
using Apvirt.Ap;
using Apvirt.Devices;
using Apvirt.Kernel.Checking;
using Apvirt.Kvm;
using Apvirt.Vfio;
using Apvirt.VfioAp;
using Apvirt.VfioPci;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Checks;

/// <summary>The guard table of a whole host: what each layer declares for its fields, in one list (locking.md §2).</summary>
public static class GuardTable
{
    /// <summary>All rules.</summary>
    public static IReadOnlyList<GuardRule> All { get; } =
        [.. VfioApGuards.All, .. KvmGuards.All, .. VfioGuards.All, .. ZpciGuards.All, .. ForwardingGuards.All, .. GvtGuards.All, .. ApGuards.All, .. DeviceGuards.All];

    private const int BitsMax = 64;

    private static readonly FrozenDictionary<GuardRule, int> Bits = All.Count <= BitsMax
        ? All.Select((rule, i) => (rule, i)).ToFrozenDictionary(p => p.rule, p => p.i)
        : throw new InvalidOperationException($"{All.Count} rules do not fit into {BitsMax} bits; sets of rules need another form");

    private static readonly FrozenDictionary<string, ulong> BitsByField = All.GroupBy(rule => rule.Field, StringComparer.Ordinal)
        .ToFrozenDictionary(rules => rules.Key, rules => 1UL << Bits[rules.First()], StringComparer.Ordinal);

    /// <summary>A bit for each rule, so that what was written is a set.</summary>
    /// <param name="rule">The rule.</param>
    internal static ulong BitOf(GuardRule rule) => 1UL << Bits[rule];

    /// <summary>The bits of fields by their names; all if none is named.</summary>
    /// <param name="fields">Names of fields.</param>
    internal static ulong BitsOf(IReadOnlyList<string> fields)
    {
        ulong bits = 0;
        for (int i = 0; i < fields.Count; i++)
            bits |= BitsByField.TryGetValue(fields[i], out ulong bit) ? bit : throw new ArgumentException($"no rule guards \"{fields[i]}\"", nameof(fields));
        return fields.Count == 0 ? ulong.MaxValue : bits;
    }
}
