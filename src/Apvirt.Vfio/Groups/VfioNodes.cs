using System.Collections.Immutable;
using System.Globalization;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Vfio.Groups;

/// <summary>The device nodes of VFIO as sysfs tells of them: <c>/dev/vfio/N</c> and <c>/dev/vfio/devices/vfioM</c> (sysfs.md §7).</summary>
public sealed class VfioNodes
{
    private const int GroupMajor = 243;
    private const int DeviceMajor = 511;

    private readonly SysfsDirectory _groupClass;
    private readonly SysfsDirectory _deviceClass;
    private readonly SysfsDirectory _virtual;
    private readonly SmallestFree _deviceNumbers = new("vfio device numbers");

    internal VfioNodes(SysfsTree tree)
    {
        _groupClass = tree.Class.AddDirectory("vfio");
        _deviceClass = tree.Class.AddDirectory("vfio-dev");
        _virtual = tree.Devices.AddDirectory("virtual").AddDirectory("vfio");
    }

    internal Device AddGroup(DeviceModel model, int number)
    {
        string name = number.ToString(CultureInfo.InvariantCulture);
        return Show(new Node(model, name, _virtual, _groupClass, $"vfio/{name}", GroupMajor, number));
    }

    internal ValueTask RemoveGroupAsync(KernelTask task, Device node) => HideAsync(task, (Node)node);

    internal Device AddDevice(Device parent)
    {
        int number = _deviceNumbers.Take(parent.Model.Runtime);
        string name = string.Create(CultureInfo.InvariantCulture, $"vfio{number}");
        return Show(new Node(parent.Model, name, parent.AddDirectory("vfio-dev"), _deviceClass, $"vfio/devices/{name}", DeviceMajor, number));
    }

    internal async ValueTask RemoveDeviceAsync(KernelTask task, Device device)
    {
        Node node = (Node)device;
        await HideAsync(task, node);
        node.Parent!.Parent!.Remove("vfio-dev");
        _deviceNumbers.Return(task.Runtime, node.Minor);
    }

    private static Node Show(Node node)
    {
        node.Parent!.Add(node);
        node.Class.AddLink(node.Name, node);
        node.Model.Uevents.Send(node, "add");
        return node;
    }

    private static async ValueTask HideAsync(KernelTask task, Node node)
    {
        node.Class.Remove(node.Name);
        node.Parent!.Remove(node.Name);
        await node.Files.DeleteAsync(task);
        node.Files.Retire(task);
        node.Model.Uevents.Send(node, "remove");
    }

    private sealed class Node(DeviceModel model, string name, SysfsDirectory parent, SysfsDirectory @class, string path, int major, int minor)
        : Device(model, name, parent, Classes)
    {
        private static readonly DeviceLockClasses Classes = new("vfio node");

        private static readonly AttributeTable Table = new(
        [
            new SysfsAttribute<Node>("dev", (node, text) => text.AppendDecimal(node.Major).Append(":"u8).AppendDecimal(node.Minor).AppendLine()),
        ]);

        internal SysfsDirectory Class => @class;

        internal int Minor => minor;

        private int Major => major;

        public override AttributeTable Attributes => Table;

        public override string? Subsystem => @class.Name;

        protected override SysfsDirectory? SubsystemDirectory => @class;

        protected override void AddNodeVariables(ICollection<KeyValuePair<string, string>> variables)
        {
            variables.Add(new("MAJOR", major.ToString(CultureInfo.InvariantCulture)));
            variables.Add(new("MINOR", minor.ToString(CultureInfo.InvariantCulture)));
            variables.Add(new("DEVNAME", path));
        }
    }
}

/// <summary>Numbers from 0 on; the smallest that is free is given out.</summary>
/// <param name="name">What is numbered.</param>
internal sealed class SmallestFree(string name)
{
    private readonly SharedState<State> _state = new(name, VfioFields.Numbers, new State([], Next: 0));

    // Those that came back, and the first that was never given out.
    private readonly record struct State(ImmutableSortedSet<int> Returned, int Next);

    internal int Take(KernelRuntime runtime)
    {
        using SharedState<State>.Section section = _state.Enter(runtime, AccessKind.Write);
        (ImmutableSortedSet<int> returned, int next) = section.Value;
        if (returned.IsEmpty)
        {
            section.Value = new State(returned, next + 1);
            return next;
        }
        section.Value = new State(returned.Remove(returned.Min), next);
        return returned.Min;
    }

    internal void Return(KernelRuntime runtime, int number)
    {
        using SharedState<State>.Section section = _state.Enter(runtime, AccessKind.Write);
        section.Value = section.Value with { Returned = section.Value.Returned.Add(number) };
    }
}
