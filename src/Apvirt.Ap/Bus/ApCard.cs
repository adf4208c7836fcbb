using System.Globalization;
using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Ap.Bus;

/// <summary>An adapter as a device, <c>/sys/devices/ap/cardxx</c> (sysfs.md §2).</summary>
public sealed class ApCard : ApDevice
{
    private static readonly DeviceLockClasses Classes = new("card");

    private readonly SharedState<List<ApQueue>> _queues;
    private readonly SharedTable<ApQueue> _byDomain;
    private Shared<bool> _isOnline = new(true);
    private Shared<long> _requestCount;

    internal ApCard(ApBus bus, int apid, ApQueueInfo info, int hwType, ApResponse code)
        : base(bus, string.Create(CultureInfo.InvariantCulture, $"card{apid:x2}"), bus.DevicesRoot, Classes, hwType, code)
    {
        Apid = apid;
        Info = info;
        _queues = new(this, ApFields.CardQueues, []);
        _byDomain = new(this, ApFields.QueueTable, bus.MaxDomain + 1);
    }

    /// <summary>Adapter id.</summary>
    public int Apid { get; }

    /// <summary>What TAPQ told of the first queue that answered.</summary>
    public ApQueueInfo Info { get; }

    /// <summary>Requests that the card served.</summary>
    public long RequestCount
    {
        get => _requestCount.Read(Runtime, this, ApFields.RequestCount);
        set => _requestCount.Write(Runtime, this, ApFields.RequestCount, value);
    }

    /// <summary>Software switch of the card driver; shown as off while the hardware is not usable.</summary>
    public bool IsOnline
    {
        get => _isOnline.Read(Runtime, this, ApFields.IsOnline);
        set => _isOnline.Write(Runtime, this, ApFields.IsOnline, value);
    }

    /// <inheritdoc/>
    public override string? DeviceType => "ap_card";

    /// <inheritdoc/>
    public override AttributeTable Attributes => CardAttributes.Table;

    /// <summary>The queues of the card now, oldest first.</summary>
    public ApQueue[] Queues()
    {
        using SharedState<List<ApQueue>>.Section section = _queues.Enter(Runtime, AccessKind.Read);
        return [.. section.Value];
    }

    /// <summary>The queues of the card by their domains, ascending.</summary>
    internal IEnumerable<ApQueue> QueuesByDomain() => _byDomain.Walk(Runtime);

    internal ApQueue? FindQueue(int apqi) => apqi <= ApBus.MaxDomain ? _byDomain.Read(Runtime, apqi) : null;

    internal void CountRequest() =>
        _requestCount.Update(Runtime, this, ApFields.RequestCount, 1, static (count, more) => count + more);

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
        _byDomain.Write(Runtime, queue.Apqn.Apqi, queue);
        using SharedState<List<ApQueue>>.Section section = _queues.Enter(Runtime, AccessKind.Write);
        section.Value.Add(queue);
    }

    internal void RemoveQueue(ApQueue queue)
    {
        using (SharedState<List<ApQueue>>.Section section = _queues.Enter(Runtime, AccessKind.Write))
            section.Value.Remove(queue);
        _byDomain.Write(Runtime, queue.Apqn.Apqi, null);
    }

    /// <inheritdoc/>
    protected override void AddBusVariables(ICollection<KeyValuePair<string, string>> variables)
    {
        variables.Add(new("DEV_TYPE", string.Create(CultureInfo.InvariantCulture, $"{HwType:X4}")));
        variables.Add(new("MODALIAS", string.Create(CultureInfo.InvariantCulture, $"ap:t{HwType:X2}")));
        variables.Add(new("MODE", ModeName(Info.Mode)));
    }
}
