using Apvirt.Ap.Architecture;
using Apvirt.Devices.Core;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Bus;

/// <summary>Scanning the bus (ap-bus.md §5).</summary>
public sealed partial class ApBus
{
    private Completion? _runningScan;

    /// <summary>Whether a scan is under way.</summary>
    public bool IsScanning => _runningScan is not null;

    /// <summary>Scans now and returns when a scan is complete; one that runs already is shared.</summary>
    /// <param name="task">The task that wants a scan.</param>
    public async ValueTask ScanAsync(KernelTask task)
    {
        if (_runningScan is { } running)
        {
            await running.WaitAsync(task);
            return;
        }
        await ScanMutex.LockAsync(task);
        _runningScan = new Completion();
        await ScanLockedAsync(task);
        Completion finished = _runningScan;
        _runningScan = null;
        ScanMutex.Unlock(task);
        finished.CompleteAll();
        RearmScanTimer();
    }

    /// <summary>The machine is switched off: no scan begins by itself any more.</summary>
    public void StopScanning()
    {
        _isStopped = true;
        _scanTimer.Cancel();
    }

    private async ValueTask TimerScanAsync(KernelTask task)
    {
        if (_runningScan is null)
            await ScanAsync(task);
    }

    private void RearmScanTimer()
    {
        if (_options.ScansByTimer && !_isStopped)
            _scanTimer.Set(TimeSpan.FromSeconds(ConfigTimeSeconds));
    }

    private async ValueTask ScanLockedAsync(KernelTask task)
    {
        QciInfo before = Configuration;
        QciInfo now = HasQci && Instructions.TryQueryConfiguration(out QciInfo info) ? info : before;
        bool changed = now != before;
        _configuration.Write(task, this, ApGuards.Configuration, now);
        // The very first configuration is nothing that drivers have to be told of: none is registered, and there is no old one.
        bool tell = changed && ScanCount > 0;
        if (tell)
        {
            if (!(now.Apm & ~before.Apm).IsEmpty || !(now.Aqm & ~before.Aqm).IsEmpty)
                _bindingsLatch = false;
            foreach (Driver driver in Drivers())
                await ((ApDriver)driver).ConfigurationChangedAsync(task, now, before);
        }
        await SelectDefaultDomainAsync(task);
        for (int apid = 0; apid <= MaxAdapter; apid++)
            await ScanAdapterAsync(task, apid);
        if (tell)
        {
            foreach (Driver driver in Drivers())
                await ((ApDriver)driver).ScanCompletedAsync(task, now, before);
        }
        if (Interlocked.Increment(ref _scanCount) == 1)
            Model.Uevents.Send(this, "change", "INITSCAN", "done");
        CheckBindingsComplete();
    }

    private bool HasAdapter(int apid) => !HasQci || Configuration.Apm[apid];

    private bool HasDomain(int apqi) => !HasQci || Configuration.Aqm[apqi];

    // Chosen once; a domain that disappears later stays the default.
    private async ValueTask SelectDefaultDomainAsync(KernelTask task)
    {
        if (DefaultDomain >= 0)
            return;
        ApPermsHeld perms = await LockPermsAsync(task);
        SelectDefaultDomain(perms);
        perms.Release();
    }

    private void SelectDefaultDomain(ApPermsHeld perms)
    {
        ApMask apmask = _apmask.Read(perms.Task, this, ApGuards.Masks);
        ApMask aqmask = _aqmask.Read(perms.Task, this, ApGuards.Masks);
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
        {
            if (!HasDomain(apqi) || !aqmask[apqi])
                continue;
            for (int apid = 0; apid <= MaxAdapter; apid++)
            {
                if (!HasAdapter(apid) || !apmask[apid] || Instructions.Tapq(Apqn.Of(apid, apqi)).Code != ApResponse.Normal)
                    continue;
                DefaultDomain = apqi;
                return;
            }
        }
    }

    private async ValueTask ScanAdapterAsync(KernelTask task, int apid)
    {
        _cards.TryGetValue(apid, out ApCard? card);
        if (!HasAdapter(apid) || !TryIdentify(apid, out ApStatus status, out ApQueueInfo info, out int type))
        {
            if (card is not null)
                await RemoveCardAsync(task, card);
            return;
        }
        if (card is not null && (card.HwType != type || card.Info.Functions != info.Functions))
        {
            await RemoveCardAsync(task, card);
            card = null;
        }
        bool isConfigured = status.Code != ApResponse.Deconfigured;
        bool isCheckstopped = status.Code == ApResponse.Checkstopped;
        if (card is null)
        {
            card = new ApCard(this, apid, info, type) { IsConfigured = isConfigured, IsCheckstopped = isCheckstopped };
            lock (_cards)
                _cards.Add(apid, card);
            _queues[apid] = new ApQueue?[MaxDomain + 1];
            await AddDeviceAsync(task, card);
        }
        else
        {
            card.IsCheckstopped = isCheckstopped;
            if (card.IsConfigured != isConfigured)
            {
                card.IsConfigured = isConfigured;
                SendConfig(card, isConfigured);
            }
        }
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
            await ScanQueueAsync(task, card, apqi);
    }

    private ValueTask ScanQueueAsync(KernelTask task, ApCard card, int apqi)
    {
        Apqn apqn = Apqn.Of(card.Apid, apqi);
        ApQueue? queue = _queues[card.Apid]![apqi];
        if (!HasDomain(apqi))
            return queue is null ? default : RemoveQueueAsync(task, queue);
        ApStatus status = Instructions.Tapq(apqn);
        if (!HasInfo(status.Code))
            return queue is null ? default : RemoveQueueAsync(task, queue);
        if (queue is null)
            return AddQueueAsync(task, card, apqn, status.Code);
        Follow(task, queue, status.Code);
        return default;
    }

    // One transition a scan: a queue that goes from deconfigured to checkstopped and back shows each step for one scan.
    private void Follow(KernelTask task, ApQueue queue, ApResponse code)
    {
        bool isConfigured = code != ApResponse.Deconfigured;
        bool isCheckstopped = code == ApResponse.Checkstopped;
        if (isCheckstopped && !queue.IsCheckstopped)
        {
            queue.IsCheckstopped = true;
            QueueMachine.Fail(task, queue, ApResponse.Checkstopped);
        }
        else if (!isCheckstopped && queue.IsCheckstopped)
        {
            queue.IsCheckstopped = false;
            QueueMachine.Restart(task, queue);
        }
        else if (!isConfigured && queue.IsConfigured)
        {
            queue.IsConfigured = false;
            QueueMachine.Fail(task, queue, ApResponse.Deconfigured);
            SendConfig(queue, isConfigured: false);
        }
        else if (isConfigured && !queue.IsConfigured)
        {
            queue.IsConfigured = true;
            QueueMachine.Restart(task, queue);
            SendConfig(queue, isConfigured: true);
        }
        else if (queue.IsUsable && queue.DeviceState == QueueDeviceState.Error)
        {
            QueueMachine.Flush(task, queue);
            QueueMachine.Restart(task, queue);
        }
    }

    private void SendConfig(ApDevice device, bool isConfigured) =>
        Model.Uevents.Send(device, "change", "CONFIG", isConfigured ? "1" : "0");

    private async ValueTask AddQueueAsync(KernelTask task, ApCard card, Apqn apqn, ApResponse code)
    {
        ApQueue queue = new(card, apqn)
        {
            IsConfigured = code != ApResponse.Deconfigured,
            IsCheckstopped = code == ApResponse.Checkstopped,
        };
        Model.Tree.Changes(queue.Name);
        _queues[apqn.Apid]![apqn.Apqi] = queue;
        card.AddQueue(queue);
        Interlocked.Increment(ref Shared(ref _queueCount, isWrite: true));
        await AddDeviceAsync(task, queue);
        if (!queue.IsUsable)
            queue.DeviceState = QueueDeviceState.Error;
    }

    private async ValueTask RemoveQueueAsync(KernelTask task, ApQueue queue)
    {
        await RemoveDeviceAsync(task, queue);
        Interlocked.Decrement(ref Shared(ref _queueCount, isWrite: true));
        queue.Card.RemoveQueue(queue);
        Model.Tree.Changes(queue.Name);
        _queues[queue.Apqn.Apid]![queue.Apqn.Apqi] = null;
    }

    private async ValueTask RemoveCardAsync(KernelTask task, ApCard card)
    {
        foreach (ApQueue queue in card.Queues())
            await RemoveQueueAsync(task, queue);
        await RemoveDeviceAsync(task, card);
        lock (_cards)
            _cards.Remove(card.Apid);
        _queues[card.Apid] = null;
    }

    // The first usage domain that answers tells what the adapter is.
    private bool TryIdentify(int apid, out ApStatus status, out ApQueueInfo info, out int type)
    {
        type = 0;
        info = default;
        status = default;
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
        {
            if (!HasDomain(apqi))
                continue;
            Apqn apqn = Apqn.Of(apid, apqi);
            status = Instructions.Tapq(apqn, out info);
            if (!HasInfo(status.Code))
                continue;
            type = info.Type > ApQueueInfo.NewestKnownType ? Instructions.CompatibleType(apqn, info) : info.Type;
            return type >= ApQueueInfo.OldestSupportedType;
        }
        return false;
    }

    private static bool HasInfo(ApResponse code) =>
        code is ApResponse.Normal or ApResponse.ResetInProgress or ApResponse.Deconfigured or ApResponse.Checkstopped
            or ApResponse.Busy or ApResponse.SecretNotUnique or ApResponse.AssociationFailed;
}
