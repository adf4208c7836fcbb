using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Sysfs;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.VfioAp.Tests.Support;

/// <summary>A host in virtual time with the short words that the scenarios of mission.md are told in.</summary>
internal sealed class TestMachine
{
    internal const string M = "62177883-f1bb-47f0-914d-32a22e3a8804";
    internal const string M2 = "6e5ae7a4-9ee2-4d1e-8b12-7f2f9d3c0001";

    internal TestMachine(int[] adapters, int[] domains, string apmask = "0x0", ulong seed = 0, bool preemptive = false, KernelChecks? checks = null, Profile? profile = null)
    {
        Runtime = new SimulationRuntime(seed, preemptive) { Checks = checks };
        Task = Runtime.CreateTask("test");
        Host = Runtime.Drive(VirtualHost.BootAsync(Task, new MachineSetup
        {
            Configuration = new QciInfo(ApFeatures.Apsc | ApFeatures.Apxa, 255, 255, ApMask.Of(adapters), ApMask.Of(domains), ApMask.Of(domains)),
            Adapters = Enumerable.Range(0, 256).ToDictionary(id => id, _ => new AdapterType(14, AdapterType.CcaFunctions)),
            Bus = new ApBusOptions { ApMaskParameter = apmask, ScansByTimer = false, UseInterrupts = false },
            Profile = profile ?? Profile.Linux612,
        }));
    }

    internal SimulationRuntime Runtime { get; }

    internal KernelTask Task { get; }

    internal VirtualHost Host { get; }

    internal VfioApDriver Driver => Host.ApBus.Drivers().OfType<VfioApDriver>().Single();

    internal MatrixMdev Mdev(string uuid = M) => Host.Guests.FindMdev(uuid)!;

    internal VirtualMachine Machine(string guest = "g") => Host.Guests.Find(guest)!.Machine;

    internal static string Path(string attribute, string uuid = M) => $"/sys/devices/vfio_ap/matrix/{uuid}/{attribute}";

    internal ValueTask<Errno> WriteAsync(KernelTask task, string path, string text) =>
        Host.Tree.WriteAsync(task, path, Encoding.ASCII.GetBytes(text));

    internal Errno Write(string path, string text) => Runtime.Drive(WriteAsync(Task, path, text));

    internal string Read(string path)
    {
        SysfsText page = new();
        Assert.Equal(Errno.Ok, Runtime.Drive(Host.Tree.ReadAsync(Task, path, page)));
        return page.ToString();
    }

    internal TestMachine Create(string uuid = M)
    {
        Assert.Equal(Errno.Ok, Write("/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", uuid));
        return this;
    }

    internal TestMachine Assign(int[] adapters, int[] domains, string uuid = M)
    {
        foreach (int apid in adapters)
            Assert.Equal(Errno.Ok, Write(Path("assign_adapter", uuid), apid.ToString()));
        foreach (int apqi in domains)
            Assert.Equal(Errno.Ok, Write(Path("assign_domain", uuid), apqi.ToString()));
        return this;
    }

    internal Errno Bind(string queue) => Write("/sys/bus/ap/drivers/vfio_ap/bind", queue);

    internal Errno Unbind(string queue) => Write("/sys/bus/ap/drivers/vfio_ap/unbind", queue);

    internal Errno Start(string guest = "g", string uuid = M, GuestOptions? options = null) =>
        Runtime.Drive(Host.Guests.StartAsync(Task, guest, [uuid], options ?? new GuestOptions()));

    internal Errno Stop(string guest = "g") => Runtime.Drive(Host.Guests.StopAsync(Task, guest));

    internal void Configure(int[] adapters, int[] domains) =>
        Assert.True(Runtime.Drive(Host.ConfigureAsync(Task, ApMask.Of(adapters), ApMask.Of(domains), ApMask.Of(domains)), TimeSpan.FromMinutes(1)));

    internal bool Linked(string queue) => Mdev().IsLinked(Q(queue));

    internal bool Plugged(string queue) => Mdev().IsPlugged(Q(queue));

    internal ApResponse GuestTapq(string queue, string guest = "g") =>
        Host.Guests.InstructionsOf(Host.Guests.Find(guest)!).Tapq(Q(queue)).Code;

    internal int Resets(string queue) =>
        Host.Hardware.ResetCounts().Where(r => r.Apqn == Q(queue)).Sum(r => r.Counts.Driver);

    internal void AssertShadow(int[] adapters, int[] domains)
    {
        Assert.Equal(adapters, Mdev().Shadow.Apm.ToList());
        Assert.Equal(domains, Mdev().Shadow.Aqm.ToList());
    }

    internal void AssertGuest(int[] adapters, int[] domains, string guest = "g")
    {
        Assert.Equal(adapters, Machine(guest).Apcb.Apm.ToList());
        Assert.Equal(domains, Machine(guest).Apcb.Aqm.ToList());
    }

    internal static Apqn Q(string queue)
    {
        Assert.True(Apqn.TryParse(queue, out Apqn apqn));
        return apqn;
    }
}
