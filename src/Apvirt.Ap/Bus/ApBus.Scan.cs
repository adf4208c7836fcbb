using Apvirt.Ap.Architecture;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel.Sharing;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Waiting;

namespace Apvirt.Ap.Bus;

/// <summary>Scanning the bus (ap-bus.md §5).</summary>
public sealed partial class ApBus
{
    private Shared<Completion?> _runningScan;
    private Shared<bool> _isStopped;

    /// <summary>Whether a scan is under way.</summary>
    public bool IsScanning => RunningScan is not null;

    private Completion? RunningScan => _runningScan.Read(Runtime, this, ApFields.RunningScan);

    /// <summary>
    /// Scans now and returns when a scan is complete. One that runs already has perhaps looked before what the caller changed: in 6.12
    /// it is shared all the same, otherwise only one that begins after the call (M130).
    /// </summary>
    /// <param name="task">The task that wants a scan.</param>
    public async ValueTask ScanAsync(KernelTask task)
    {
        for (bool isNew = false; RunningScan is { } running; isNew = true)
        {
            await running.WaitAsync(task);
            if (isNew || _options.Profile.Deviates(task, Quirk.RunningScanShared))
                return;
        }
        await ScanMutex.LockAsync(task);
        Completion scan = new(task.Runtime, "scan");
        _runningScan.Write(Runtime, this, ApFields.RunningScan, scan);
        await ScanLockedAsync(task);
        _runningScan.Write(Runtime, this, ApFields.RunningScan, null);
        ScanMutex.Unlock(task);
        scan.CompleteAll();
        RearmScanTimer();
    }

    /// <summary>The machine is switched off: no scan begins by itself any more.</summary>
    public void StopScanning()
    {
        _isStopped.Write(Runtime, this, ApFields.IsStopped, true);
        _scanTimer.Cancel();
    }

    private async ValueTask TimerScanAsync(KernelTask task)
    {
        if (RunningScan is null)
            await ScanAsync(task);
    }

    private void RearmScanTimer()
    {
        if (_options.ScansByTimer && !_isStopped.Read(Runtime, this, ApFields.IsStopped))
            _scanTimer.Set(TimeSpan.FromSeconds(ConfigTimeSeconds));
    }

    private async ValueTask ScanLockedAsync(KernelTask task)
    {
        QciInfo before = _configuration.Read(task, this, ApGuards.Configuration);
        QciInfo now = HasQci && Instructions.TryQueryConfiguration(out QciInfo info) ? info : before;
        bool changed = now != before;
        _configuration.Write(task, this, ApGuards.Configuration, now);
        // The very first configuration is nothing that drivers have to be told of: none is registered, and there is no old one.
        bool tell = changed && ScanCount > 0;
        if (tell)
        {
            if (!(now.Apm & ~before.Apm).IsEmpty || !(now.Aqm & ~before.Aqm).IsEmpty)
                OpenBindingsLatch();
            foreach (Driver driver in Drivers())
                await ((ApDriver)driver).ConfigurationChangedAsync(task, now, before);
        }
        await SelectDefaultDomainAsync(task, now);
        await task.NextStepAsync("look at adapters");
        for (int apid = 0; apid <= MaxAdapter; apid++)
            await ScanAdapterAsync(task, apid, now);
        if (tell)
        {
            await task.NextStepAsync("tell drivers that the scan is complete");
            foreach (Driver driver in Drivers())
                await ((ApDriver)driver).ScanCompletedAsync(task, now, before);
        }
        if (_scanCount.Update(Runtime, this, ApFields.ScanCount, 1, static (count, more) => count + more) == 1)
            Model.Uevents.Send(this, "change", "INITSCAN", "done");
        CheckBindingsComplete();
    }

    private bool HasAdapter(int apid, QciInfo now) => !HasQci || now.Apm[apid];

    private bool HasDomain(int apqi, QciInfo now) => !HasQci || now.Aqm[apqi];

    // Chosen once; a domain that disappears later stays the default.
    private async ValueTask SelectDefaultDomainAsync(KernelTask task, QciInfo now)
    {
        if (DefaultDomain >= 0)
            return;
        ApPermsHeld perms = await LockPermsAsync(task);
        SelectDefaultDomain(perms, now);
        perms.Release();
    }

    private void SelectDefaultDomain(ApPermsHeld perms, QciInfo now)
    {
        ApMask apmask = _apmask.Read(perms.Task, this, ApGuards.Masks);
        ApMask aqmask = _aqmask.Read(perms.Task, this, ApGuards.Masks);
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
        {
            if (!HasDomain(apqi, now) || !aqmask[apqi])
                continue;
            for (int apid = 0; apid <= MaxAdapter; apid++)
            {
                if (!HasAdapter(apid, now) || !apmask[apid] || Instructions.Tapq(Apqn.Of(apid, apqi)).Code != ApResponse.Normal)
                    continue;
                DefaultDomain = apqi;
                return;
            }
        }
    }

    private async ValueTask ScanAdapterAsync(KernelTask task, int apid, QciInfo now)
    {
        ApCard? card = _cards.Read(Runtime, apid);
        if (!HasAdapter(apid, now) || !TryIdentify(apid, now, out ApStatus status, out ApQueueInfo info, out int type))
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
            card = new ApCard(this, apid, info, type, status.Code);
            _cards.Write(Runtime, apid, card);
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
        // Nobody else changes it meanwhile.
        ApQueue?[] queues = new ApQueue?[MaxDomain + 1];
        foreach (ApQueue queue in card.QueuesByDomain())
            queues[queue.Apqn.Apqi] = queue;
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
            await ScanQueueAsync(task, card, apqi, queues[apqi], now);
    }

    private ValueTask ScanQueueAsync(KernelTask task, ApCard card, int apqi, ApQueue? queue, QciInfo now)
    {
        Apqn apqn = Apqn.Of(card.Apid, apqi);
        if (!HasDomain(apqi, now))
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
        await task.NextStepAsync("add queue");
        ApQueue queue = new(card, apqn, code);
        card.AddQueue(queue);
        Count(ref _queueCount, ApFields.QueueCount, 1);
        await AddDeviceAsync(task, queue);
        if (!queue.IsUsable)
            queue.DeviceState = QueueDeviceState.Error;
    }

    private async ValueTask RemoveQueueAsync(KernelTask task, ApQueue queue)
    {
        await task.NextStepAsync("remove queue");
        await RemoveDeviceAsync(task, queue);
        Count(ref _queueCount, ApFields.QueueCount, -1);
        queue.Card.RemoveQueue(queue);
    }

    private async ValueTask RemoveCardAsync(KernelTask task, ApCard card)
    {
        foreach (ApQueue queue in card.Queues())
            await RemoveQueueAsync(task, queue);
        await task.NextStepAsync("remove card");
        await RemoveDeviceAsync(task, card);
        _cards.Write(Runtime, card.Apid, null);
    }

    // The first usage domain that answers tells what the adapter is.
    private bool TryIdentify(int apid, QciInfo now, out ApStatus status, out ApQueueInfo info, out int type)
    {
        type = 0;
        info = default;
        status = default;
        for (int apqi = 0; apqi <= MaxDomain; apqi++)
        {
            if (!HasDomain(apqi, now))
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
