using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;

namespace Apvirt.Ap.Bus;

/// <summary>An adapter as a device, <c>/sys/devices/ap/cardxx</c> (sysfs.md §2).</summary>
public sealed class ApCard : ApDevice
{
    private static readonly DeviceLockClasses Classes = new("card");

    private bool _isOnline = true;
    private readonly List<ApQueue> _queues = [];
    private readonly Lock _gate = new();

    internal ApCard(ApBus bus, int apid, ApQueueInfo info, int hwType)
        : base(bus, string.Create(CultureInfo.InvariantCulture, $"card{apid:x2}"), bus.DevicesRoot, Classes, hwType)
    {
        Apid = apid;
        Info = info;
    }

    /// <summary>Adapter id.</summary>
    public int Apid { get; }

    /// <summary>What TAPQ told of the first queue that answered.</summary>
    public ApQueueInfo Info { get; }

    /// <summary>Requests that the card served.</summary>
    public long RequestCount { get; set; }

    /// <summary>Software switch of the card driver; shown as off while the hardware is not usable.</summary>
    public bool IsOnline
    {
        get => Shared(ref _isOnline, "state", isWrite: false);
        set => Shared(ref _isOnline, "state", isWrite: true) = value;
    }

    /// <inheritdoc/>
    public override string? DeviceType => "ap_card";

    /// <inheritdoc/>
    public override AttributeTable Attributes => CardAttributes.Table;

    /// <summary>The queues of the card now, oldest first.</summary>
    public ApQueue[] Queues()
    {
        lock (_gate)
            return [.. _queues];
    }

    /// <inheritdoc/>
    public override bool TryFind(ReadOnlySpan<char> name, out SysfsEntry entry)
    {
        if (Apqn.TryParse(name, out Apqn apqn) && apqn.Apid == Apid && ApBus.FindQueue(apqn) is { IsRegistered: true } queue)
        {
            entry = SysfsEntry.Of(queue);
            return name.SequenceEqual(queue.Name);
        }
        return base.TryFind(name, out entry);
    }

    /// <inheritdoc/>
    public override IEnumerable<SysfsEntry> List() =>
        base.List().Concat(Queues().Where(q => q.IsRegistered).Select(SysfsEntry.Of));

    internal void AddQueue(ApQueue queue)
    {
        lock (_gate)
            _queues.Add(queue);
    }

    internal void RemoveQueue(ApQueue queue)
    {
        lock (_gate)
            _queues.Remove(queue);
    }

    /// <inheritdoc/>
    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables)
    {
        variables.Add(new("DEV_TYPE", string.Create(CultureInfo.InvariantCulture, $"{HwType:X4}")));
        variables.Add(new("MODALIAS", string.Create(CultureInfo.InvariantCulture, $"ap:t{HwType:X2}")));
        variables.Add(new("MODE", ModeName(Info.Mode)));
    }
}
