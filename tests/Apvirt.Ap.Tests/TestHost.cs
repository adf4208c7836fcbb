using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Drivers;
using Apvirt.Ap.Hardware;
using Apvirt.Devices.Core;
using Apvirt.Devices.Events;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Tests;

/// <summary>What a host is made of; every test changes only what it is about.</summary>
internal sealed record TestSetup
{
    public ApBusOptions Options { get; init; } = new() { ScansByTimer = false };

    public ApFeatures Features { get; init; } = ApFeatures.Apsc | ApFeatures.Apxa | ApFeatures.Qact | ApFeatures.Rc8a;

    public bool HasQci { get; init; } = true;

    public int MaxId { get; init; } = 255;

    public bool HasVfioAp { get; init; } = true;

    public bool IsScanned { get; init; } = true;

    public Action<CryptoHardware>? Prepare { get; init; }
}

/// <summary>
/// An AP bus on simulated hardware: adapters 1 (CEX8C), 2 (CEX7P) and 3 (CEX6A), of which 1 and 2 are configured, with
/// usage domains 4 and 0x47 and control domains 4 and 6.
/// </summary>
internal sealed class TestHost
{
    public static readonly ApMask Adapters = ApMask.Of(1, 2);
    public static readonly ApMask Domains = ApMask.Of(4, 0x47);
    public static readonly ApMask ControlDomains = ApMask.Of(4, 6);

    public TestHost(TestSetup? setup = null)
    {
        setup ??= new TestSetup();
        Task = Runtime.CreateTask("user");
        Model = new DeviceModel(Runtime);
        Model.Uevents.Listen(Events.Add);
        Hardware = new CryptoHardware(
            Runtime, new QciInfo(setup.Features, setup.MaxId, setup.MaxId, Adapters, Domains, ControlDomains))
        {
            HasQci = setup.HasQci,
        };
        Hardware.AddAdapter(1, new AdapterType(14, AdapterType.CcaFunctions, Serial: "93AABEET"));
        Hardware.AddAdapter(2, new AdapterType(13, AdapterType.Ep11Functions));
        Hardware.AddAdapter(3, new AdapterType(12, AdapterType.AcceleratorFunctions, Depth: 16, MaxMessageBytes: 8192));
        setup.Prepare?.Invoke(Hardware);
        Firmware = new TestFirmware(Hardware);
        Bus = new ApBus(Model, Hardware.InstructionsFor(ApIssuer.Bus), Firmware, setup.Options);
        if (setup.IsScanned)
            Scan();
        Runtime.Drive(Bus.RegisterDriverAsync(Task, new Cex4CardDriver(Bus)));
        Runtime.Drive(Bus.RegisterDriverAsync(Task, new Cex4QueueDriver(Bus)));
        VfioAp = new TestVfioApDriver(Bus);
        if (setup.HasVfioAp)
            Runtime.Drive(Bus.RegisterDriverAsync(Task, VfioAp));
    }

    public SimulationRuntime Runtime { get; } = new();

    public KernelTask Task { get; }

    public DeviceModel Model { get; }

    public CryptoHardware Hardware { get; }

    public TestFirmware Firmware { get; }

    public ApBus Bus { get; }

    public TestVfioApDriver VfioAp { get; }

    public List<Uevent> Events { get; } = [];

    public IEnumerable<string> EventTexts => Events.Select(e => e.ToString());

    public void Scan() => Assert.True(Runtime.Drive(Bus.ScanAsync(Task)));

    public void Configure(ApMask apm, ApMask aqm)
    {
        Hardware.Configure(apm, aqm, ControlDomains);
        Scan();
    }

    /// <summary>Lets the queues' machines come to rest, and forgets the events so far.</summary>
    public void Settle()
    {
        Runtime.Advance(TimeSpan.FromSeconds(1));
        Events.Clear();
    }

    public ApQueue Queue(int apid, int apqi) => Bus.FindQueue(Apqn.Of(apid, apqi))!;

    public Errno Write(string path, string text) =>
        Runtime.Drive(Model.Tree.WriteAsync(Task, path, Encoding.UTF8.GetBytes(text)));

    public Errno TryRead(string path, out string value)
    {
        SysfsText text = new();
        Errno error = Runtime.Drive(Model.Tree.ReadAsync(Task, path, text));
        value = text.ToString();
        return error;
    }

    public string Read(string path)
    {
        Assert.Equal(Errno.Ok, TryRead(path, out string value));
        return value;
    }

    public bool Exists(string path) => Model.Tree.Find(path, out _, followLast: false) == Errno.Ok;

    public SysfsMode ModeOf(string path)
    {
        Assert.Equal(Errno.Ok, Model.Tree.Find(path, out SysfsEntry entry));
        return entry.Attribute!.Mode;
    }

    /// <summary>The text of a link as readlink gives it, null if there is none.</summary>
    public string? LinkText(string directory, string name)
    {
        Assert.Equal(Errno.Ok, Model.Tree.Find(directory, out SysfsEntry entry));
        return entry.Directory.TryFind(name, out SysfsEntry link) ? entry.Directory.RelativePathTo(link.Directory) : null;
    }

    public string DriverOf(string path) => LinkText(path, "driver")?.Split('/')[^1] ?? "none";
}

internal sealed class TestFirmware(CryptoHardware hardware) : IApFirmware
{
    public Errno Answer { get; set; }

    public int Calls { get; private set; }

    public Errno Reconfigure(int apid, bool configure)
    {
        Calls++;
        if (Answer == Errno.Ok)
            hardware.SetConfigured(apid, configure);
        return Answer;
    }

    public string SerialOf(int apid) => hardware.TypeOf(apid)?.Serial ?? "";
}

/// <summary>Stands for vfio_ap: takes what is not the host's, and can say that something is in use.</summary>
internal sealed class TestVfioApDriver(ApBus bus) : ApDriver(bus, "vfio_ap")
{
    public override bool IsDefault => false;

    public override bool TakesQueues => true;

    /// <summary>The matrix that an mdev has.</summary>
    public (ApMask Apm, ApMask Aqm) Assigned { get; set; }

    /// <summary>Holds a scan up until it is completed; null holds nothing up.</summary>
    public Completion? Gate { get; set; }

    /// <summary>What the bus asked and told, in order.</summary>
    public List<string> Calls { get; } = [];

    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device)
    {
        Calls.Add($"probe {device.Name}");
        return new ValueTask<Errno>(Errno.Ok);
    }

    public override ValueTask RemoveAsync(KernelTask task, Device device)
    {
        Calls.Add($"remove {device.Name}");
        return default;
    }

    public override ValueTask<Errno> InUseAsync(KernelTask task, ApMask apm, ApMask aqm)
    {
        Calls.Add($"in use {string.Join(' ', apm.ToList().Take(3))} x {string.Join(' ', aqm.ToList().Take(3))}");
        bool inUse = apm.Intersects(Assigned.Apm) && aqm.Intersects(Assigned.Aqm);
        return new ValueTask<Errno>(inUse ? Errno.EADDRINUSE : Errno.Ok);
    }

    public override async ValueTask ConfigurationChangedAsync(KernelTask task, QciInfo now, QciInfo before)
    {
        Calls.Add($"changed {Text(before)} -> {Text(now)}");
        if (Gate is { } gate)
            await gate.WaitAsync(task);
    }

    public override ValueTask ScanCompletedAsync(KernelTask task, QciInfo now, QciInfo before)
    {
        Calls.Add($"completed {Text(before)} -> {Text(now)}");
        return default;
    }

    private static string Text(QciInfo info) => $"{string.Join(' ', info.Apm.ToList())} x {string.Join(' ', info.Aqm.ToList())}";
}
