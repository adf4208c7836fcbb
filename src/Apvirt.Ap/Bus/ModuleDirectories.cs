using System.Globalization;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Ap.Bus;

/// <summary>A loaded module below <c>/sys/module</c> (sysfs.md §8); scripts take its presence for "loaded".</summary>
public sealed class ModuleDirectory : SysfsDirectory
{
    private static readonly AttributeTable Table = new(
    [
        new SysfsAttribute<ModuleDirectory>("initstate", (_, text) => text.Append("live\n"u8)),
        new SysfsAttribute<ModuleDirectory>("refcnt", (_, text) => text.Append("0\n"u8)),
    ]);

    /// <summary>Makes the directory of a module and puts it into the tree.</summary>
    /// <param name="tree">The tree.</param>
    /// <param name="name">Name of the module.</param>
    public ModuleDirectory(SysfsTree tree, string name) : base(name, tree.Module)
    {
        AddDirectory("holders");
        tree.Module.Add(this);
    }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;
}

/// <summary>The <c>parameters</c> directory of module ap: boot parameters, and the live default domain.</summary>
internal sealed class ApParameters(SysfsDirectory module, ApBus bus, ApBusOptions options) : SysfsDirectory("parameters", module)
{
    private static readonly AttributeTable Table = new(
    [
        Parameter("apmask", p => p.Options.ApMaskParameter ?? "(null)"),
        Parameter("aqmask", p => p.Options.AqMaskParameter ?? "(null)"),
        Parameter("domain", p => p.Bus.DefaultDomain.ToString(CultureInfo.InvariantCulture)),
        Parameter("msgpool_min_items", _ => "8"),
        Parameter("poll_thread", p => p.Options.PollThread ? "1" : "0"),
        Parameter("useirq", p => p.Options.UseInterrupts ? "1" : "0"),
    ]);

    public override AttributeTable Attributes => Table;

    private ApBus Bus { get; } = bus;

    private ApBusOptions Options { get; } = options;

    private static SysfsAttribute<ApParameters> Parameter(string name, Func<ApParameters, string> value) =>
        new(name, (parameters, text) => text.Append(value(parameters)).AppendLine(), SysfsMode.GroupReadOnly);
}

internal static class ModuleDirectories
{
    internal static void AddBusModules(ApBus bus, ApBusOptions options)
    {
        ModuleDirectory ap = new(bus.Model.Tree, "ap");
        ap.Add(new ApParameters(ap, bus, options));
        _ = new ModuleDirectory(bus.Model.Tree, "zcrypt");
    }
}
