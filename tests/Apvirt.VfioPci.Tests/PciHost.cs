using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioPci.Pci;

namespace Apvirt.VfioPci.Tests;

/// <summary>A whole host in virtual time with PCI functions, one AP queue and a graphics adapter, everything checked.</summary>
internal sealed class PciHost
{
    internal const string Roce = "1000:00:00.0";
    internal const string Disk = "1001:00:00.0";
    internal const string Utility = "port 1 of a RoCE Express 2";
    internal const string Gpu = "2000:00:00.0";
    internal const string Mdev = "62177883-f1bb-47f0-914d-32a22e3a8804";
    internal const string Vgpu = "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001";
    private const string Matrix = "/sys/devices/vfio_ap/matrix/";

    internal static IReadOnlyList<PciFunctionSetup> Usual { get; } =
    [
        new PciFunctionSetup(0x104, PciFunctionType.Find("roce")!) { Uid = 0x1000, Pchid = 0x1c0, Vfn = 3, Pfgid = 2, IsForGuests = true, InternalPath = 0x01020304, Utility = Utility },
        new PciFunctionSetup(0x108, PciFunctionType.Find("nvme")!) { Uid = 0x1001 },
        new PciFunctionSetup(0x200, PciFunctionType.Find("gpu")!) { Uid = 0x2000 },
    ];

    internal PciHost(IReadOnlyList<PciFunctionSetup>? functions = null, Profile? profile = null)
    {
        Task = Runtime.CreateTask("test");
        Host = Runtime.Drive(VirtualHost.BootAsync(Task, new MachineSetup
        {
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(4), ApMask.Of(4), ApMask.Of(4)),
            Adapters = new Dictionary<int, AdapterType> { [4] = new AdapterType(14, AdapterType.Ep11Functions) },
            Bus = new ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false, UseInterrupts = false },
            Profile = profile ?? Profile.Strict,
            PciFunctions = functions ?? Usual,
        }));
    }

    internal SimulationRuntime Runtime { get; } = new() { Checks = new KernelChecks(Apvirt.Host.Checks.LockOrder.Declared) };

    internal KernelTask Task { get; }

    internal VirtualHost Host { get; }

    internal PciDevice Function(string address = Roce) => Host.Pci.Bus.Find(address)!;

    internal PciHost CreateMdev()
    {
        Assert.Equal(Errno.Ok, Write(Matrix + "mdev_supported_types/vfio_ap-passthrough/create", Mdev));
        Assert.Equal(Errno.Ok, Write($"{Matrix}{Mdev}/assign_domain", "4"));
        Assert.Equal(Errno.Ok, Write($"{Matrix}{Mdev}/assign_adapter", "4"));
        return this;
    }

    internal PciHost CreateVgpu(string uuid = Vgpu)
    {
        Assert.Equal(Errno.Ok, Write($"/sys/bus/pci/devices/{Gpu}/mdev_supported_types/i915-GVTg_V5_4/create", uuid));
        return this;
    }

    internal Errno Write(string path, string text) => Runtime.Drive(Host.Tree.WriteAsync(Task, path, Encoding.ASCII.GetBytes(text)));

    internal string Read(string path)
    {
        SysfsText page = new();
        Assert.Equal(Errno.Ok, Runtime.Drive(Host.Tree.ReadAsync(Task, path, page)));
        return page.ToString();
    }

    internal string[] List(string path)
    {
        Assert.Equal(Errno.Ok, Host.Tree.Find(path, out SysfsEntry entry));
        return [.. entry.Directory.List().Select(e => e.Name).Order(StringComparer.Ordinal)];
    }

    internal Errno Start(string guest, params string[] devices) => Runtime.Drive(Host.Guests.StartAsync(Task, guest, devices, new GuestOptions()));

    internal Errno Stop(string guest) => Runtime.Drive(Host.Guests.StopAsync(Task, guest));

    /// <summary>Runs an operation as a trace has it.</summary>
    internal string Run(string operation)
    {
        using TraceLine line = OperationRunner.Parse(operation);
        string answer = Runtime.Drive(OperationRunner.RunAsync(Host, Task, line)).Line;
        Host.Checks!.Ended(Task, Errno.Ok, writesBefore: null);
        return answer[(operation.Length - 1)..].TrimStart(',').TrimEnd('}');
    }

    internal void AssertClean()
    {
        Host.Checks!.Ended(Task, Errno.Ok, writesBefore: null);
        Assert.Empty(Runtime.Checks!.Violations.ToArray().Select(v => v.ToString()));
    }
}
