using Apvirt.Ap.Architecture;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Ap.Bus;

/// <summary>The files of <c>/sys/bus/ap</c> (sysfs.md §1).</summary>
internal static class BusAttributes
{
    private const long LongestPollTimeoutNanoseconds = 120_000_000_000;

    private static readonly (ApFeatures Feature, string Name)[] FeatureNames =
    [
        (ApFeatures.Apsc, "APSC"),
        (ApFeatures.Apxa, "APXA"),
        (ApFeatures.Qact, "QACT"),
        (ApFeatures.Rc8a, "RC8A"),
        (ApFeatures.Apsb, "APSB"),
    ];

    internal static AttributeTable Table { get; } = new(
    [
        new SysfsAttribute<ApBus>("ap_domain", SysfsMode.ReadWrite, ShowNumber(bus => bus.DefaultDomain), StoreDomain),
        QciMask("ap_control_domain_mask", info => info.Adm),
        QciMask("ap_usage_domain_mask", info => info.Aqm),
        QciMask("ap_adapter_mask", info => info.Apm),
        new SysfsAttribute<ApBus>("ap_interrupts", (bus, text) => text.Append(bus.UsesInterrupts ? "1\n"u8 : "0\n"u8)),
        new SysfsAttribute<ApBus>("config_time", SysfsMode.ReadWrite, ShowNumber(bus => bus.ConfigTimeSeconds), StoreConfigTime),
        new SysfsAttribute<ApBus>("poll_thread", SysfsMode.ReadWrite, ShowNumber(bus => bus.PollThread ? 1 : 0), StorePollThread),
        new SysfsAttribute<ApBus>("poll_timeout", SysfsMode.ReadWrite, ShowNumber(bus => bus.PollTimeoutNanoseconds), StorePollTimeout),
        new SysfsAttribute<ApBus>("ap_max_domain_id", SysfsMode.ReadOnly, ShowNumber(bus => bus.MaxDomain)),
        new SysfsAttribute<ApBus>("ap_max_adapter_id", SysfsMode.ReadOnly, ShowNumber(bus => bus.MaxAdapter)),
        new SysfsAttribute<ApBus>(
            "apmask",
            SysfsMode.ReadWrite,
            show: (task, bus, text) => ShowMaskAsync(task, bus, text, ofAdapters: true),
            store: (task, bus, text) => bus.StoreAdapterMaskAsync(task, text)),
        new SysfsAttribute<ApBus>(
            "aqmask",
            SysfsMode.ReadWrite,
            show: (task, bus, text) => ShowMaskAsync(task, bus, text, ofAdapters: false),
            store: (task, bus, text) => bus.StoreDomainMaskAsync(task, text)),
        new SysfsAttribute<ApBus>("scans", SysfsMode.ReadWrite, ShowNumber(bus => bus.ScanCount), StoreScansAsync),
        new SysfsAttribute<ApBus>("bindings", ShowBindings),
        new SysfsAttribute<ApBus>("features", ShowFeatures),
        .. Devices.Core.Bus.StandardAttributes,
    ]);

    private static SysfsAttribute<ApBus> QciMask(string name, Func<QciInfo, ApMask> mask) => new(name, (bus, text) =>
    {
        if (bus.HasQci)
            text.AppendMask(mask(bus.Configuration)).AppendLine();
        else
            text.Append("not supported\n"u8);
    });

    private static Func<KernelTask, ApBus, SysfsText, ValueTask<Errno>> ShowNumber(Func<ApBus, long> value) => (_, bus, text) =>
    {
        text.AppendDecimal(value(bus)).AppendLine();
        return new ValueTask<Errno>(Errno.Ok);
    };

    private static async ValueTask<Errno> ShowMaskAsync(KernelTask task, ApBus bus, SysfsText text, bool ofAdapters)
    {
        if (await bus.PermsMutex.LockInterruptibleAsync(task) != Errno.Ok)
            return Errno.EINTR;
        ApMask mask = bus.ReadMask(task, ofAdapters);
        bus.PermsMutex.Unlock(task);
        text.AppendMask(mask).AppendLine();
        return Errno.Ok;
    }

    private static void ShowBindings(ApBus bus, SysfsText text)
    {
        // Each is read once: what is said to be complete is what is printed.
        (long bound, long all) = (bus.BoundCount, bus.QueueCount);
        text.AppendDecimal(bound).Append("/"u8).AppendDecimal(all);
        text.Append(bus.ScanCount > 0 && bound == all ? " (complete)\n"u8 : "\n"u8);
    }

    private static void ShowFeatures(ApBus bus, SysfsText text)
    {
        if (!bus.HasQci)
        {
            text.Append("-\n"u8);
            return;
        }
        string features = string.Join(' ', FeatureNames.Where(f => bus.Configuration.Features.HasFlag(f.Feature)).Select(f => f.Name));
        if (features.Length > 0)
            text.Append(features).AppendLine();
    }

    private static ValueTask<Errno> StoreDomain(KernelTask task, ApBus bus, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ScanInteger(text.Span, out int domain) != Errno.Ok
            || domain < 0 || domain > bus.MaxDomain || !bus.DomainMask[domain])
        {
            return new ValueTask<Errno>(Errno.EINVAL);
        }
        bus.DefaultDomain = domain;
        return new ValueTask<Errno>(Errno.Ok);
    }

    private static ValueTask<Errno> StoreConfigTime(KernelTask task, ApBus bus, ReadOnlyMemory<byte> text)
    {
        if (SysfsNumber.ScanDecimal(text.Span, out int seconds) != Errno.Ok || seconds is < 5 or > 120)
            return new ValueTask<Errno>(Errno.EINVAL);
        bus.SetConfigTime(seconds);
        return new ValueTask<Errno>(Errno.Ok);
    }

    // With interrupts in use the switch is accepted and stays off.
    private static ValueTask<Errno> StorePollThread(KernelTask task, ApBus bus, ReadOnlyMemory<byte> text)
    {
        Errno error = SysfsNumber.ParseBoolean(text.Span, out bool run);
        if (error == Errno.Ok)
            bus.PollThread = run && !bus.UsesInterrupts;
        return new ValueTask<Errno>(error);
    }

    private static ValueTask<Errno> StorePollTimeout(KernelTask task, ApBus bus, ReadOnlyMemory<byte> text)
    {
        Errno error = SysfsNumber.ParseUnsigned(text.Span, out ulong nanoseconds);
        if (error == Errno.Ok && nanoseconds > LongestPollTimeoutNanoseconds)
            error = Errno.EINVAL;
        if (error == Errno.Ok)
            bus.PollTimeoutNanoseconds = (long)nanoseconds;
        return new ValueTask<Errno>(error);
    }

    private static async ValueTask<Errno> StoreScansAsync(KernelTask task, ApBus bus, ReadOnlyMemory<byte> text)
    {
        if (bus.ScanCount > 0)
            await bus.ScanAsync(task);
        return Errno.Ok;
    }
}
