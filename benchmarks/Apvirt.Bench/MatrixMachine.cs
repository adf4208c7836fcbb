using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Core;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.Bench;

/// <summary>
/// The machine of BENCH.md: a host of h x h queues, all bound to vfio_ap, one mdev with the first n x n of them, and a
/// guest that runs with everything plugged.
/// </summary>
internal sealed class MatrixMachine
{
    private const string Uuid = "62177883-f1bb-47f0-914d-32a22e3a8804";

    internal MatrixMachine(int n, int hostSize)
    {
        Runtime = new SimulationRuntime();
        Task = Runtime.CreateTask("bench");
        Host = Runtime.Drive(VirtualHost.BootAsync(Task, Setup(hostSize)));
        Write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", Uuid);
        Mdev = Host.Guests.FindMdev(Uuid)!;
        Matrix = $"{ApMask.UpTo(n - 1)},{ApMask.UpTo(n - 1)},{ApMask.None}";
        Write($"{Mdev.Path}/ap_config", Matrix);
        Require(Runtime.Drive(Host.Guests.StartAsync(Task, "g", [Uuid], new GuestOptions())));
        LastId = Encoding.ASCII.GetBytes((n - 1).ToString(System.Globalization.CultureInfo.InvariantCulture));
        LastQueue = Host.ApBus.FindQueue(Apqn.Of(n - 1, n - 1))!;
        AssertPlugged(n);
    }

    internal SimulationRuntime Runtime { get; }

    internal KernelTask Task { get; }

    internal VirtualHost Host { get; }

    internal MatrixMdev Mdev { get; }

    internal string Matrix { get; }

    internal byte[] LastId { get; }

    internal ApQueue LastQueue { get; }

    internal static MachineSetup Setup(int size, int? domains = null) => new()
    {
        Configuration = new QciInfo(
            ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.UpTo(size - 1), ApMask.UpTo((domains ?? size) - 1), ApMask.UpTo((domains ?? size) - 1)),
        Adapters = Enumerable.Range(0, size).ToDictionary(apid => apid, _ => new AdapterType(14, AdapterType.Ep11Functions)),
        Bus = new ApBusOptions { ApMaskParameter = "0x0", ScansByTimer = false },
    };

    internal Driver VfioApDriver => LastQueue.Driver!;

    internal void AssertPlugged(int n)
    {
        Apvirt.Kvm.Crypto.Apcb apcb = Host.Guests.Find("g")!.Machine.Apcb;
        if (apcb.Apm != ApMask.UpTo(n - 1) || apcb.Aqm != ApMask.UpTo(n - 1))
            throw new InvalidOperationException("the guest does not have the full matrix");
    }

    internal void Write(string path, string text) =>
        Require(Runtime.Drive(Host.Tree.WriteAsync(Task, path, Encoding.ASCII.GetBytes(text))));

    internal void Require(Errno error)
    {
        if (error != Errno.Ok)
            throw new InvalidOperationException(error.ToString());
    }

    internal void Require(ValueTask<Errno> operation) => Require(operation.IsCompletedSuccessfully ? operation.Result : Runtime.Drive(operation));
}
