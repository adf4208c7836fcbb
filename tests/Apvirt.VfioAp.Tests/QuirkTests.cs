using Apvirt.Ap.Architecture;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Kvm.Interception;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioAp.Tests.Support;

namespace Apvirt.VfioAp.Tests;

/// <summary>The defects of 6.12 that QUIRKS.md describes beyond what the recordings show, and the ioctls of vfio-ap.md §12.</summary>
public sealed class QuirkTests
{
    [Fact]
    public void Every_quirk_is_in_the_table_once() =>
        Assert.Equal(Enum.GetValues<Quirk>(), QuirkTable.Entries.Select(e => e.Quirk));

    [Fact]
    public void F02_a_stale_link_ends_with_its_mdev_and_the_queue_can_be_unbound()
    {
        TestMachine t = new TestMachine([0x04], [0x04, 0x47]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.Assign([0x04], [0x04, 0x47]);
        t.AssertShadow([], [0x04, 0x47]);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("unassign_adapter"), "4"));
        Assert.NotNull(t.Host.VfioAp.Matrix.Queue(TestMachine.Q("04.0004"))!.Mdev);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("remove"), "1"));
        Assert.Null(t.Host.VfioAp.Matrix.Queue(TestMachine.Q("04.0004"))!.Mdev);
        Assert.Equal(Errno.Ok, t.Unbind("04.0004"));
    }

    [Fact]
    public void F03_removing_the_withholding_domain_does_not_bring_the_adapter_back()
    {
        TestMachine t = new TestMachine([0x04], [0x04, 0x54]).Create();
        Assert.Equal(Errno.Ok, t.Unbind("04.0054"));
        t.Assign([0x04], [0x04, 0x54]);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("unassign_domain"), "0x54"));
        t.AssertShadow([], [0x04]);
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("assign_domain"), "200"));
        t.AssertShadow([0x04], [0x04]);
    }

    [Fact]
    public void F12_a_queue_that_stays_busy_holds_everything_up()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create().Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        t.Host.Hardware.Inject(TestMachine.Q("04.0004"), ApInstruction.Tapq, [ApResponse.Busy], isSticky: true);
        t.Runtime.SetHorizon(TimeSpan.FromSeconds(10));
        Assert.False(t.Runtime.TryDrive(t.WriteAsync(t.Task, TestMachine.Path("unassign_adapter"), "4"), TimeSpan.FromSeconds(10), out _));
        Assert.NotNull(t.Host.VfioAp.Matrix.GuestsLock.Holder);
        t.Host.Hardware.Inject(TestMachine.Q("04.0004"), ApInstruction.Tapq, [], isSticky: false);
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(t.Host.VfioAp.Matrix.GuestsLock.Holder);
        t.AssertGuest([], [0x04]);
    }

    [Fact]
    public void Removing_an_mdev_in_use_asks_user_space_every_ten_seconds_and_waits()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create().Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start(options: new GuestOptions { RegistersRequest = false }));
        Apvirt.Vfio.Devices.Eventfd eventfd = new(t.Runtime, "request");
        Assert.Equal(Errno.Ok, t.Runtime.Drive(t.Mdev().SetIrqsAsync(t.Task, VfioIrqSet.DeviceRequest, 5, _ => (Errno.Ok, eventfd))));
        Errno? removed = null;
        t.Runtime.Spawn("remove", async task => removed = await t.WriteAsync(task, TestMachine.Path("remove"), "1"));
        t.Runtime.Advance(TimeSpan.FromSeconds(35));
        Assert.Null(removed);
        Assert.Equal(4, eventfd.Count);
        Assert.Equal(Errno.ENOENT, t.Write(TestMachine.Path("remove"), "1"));
        Assert.Equal(Errno.Ok, t.Stop());
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(Errno.Ok, removed);
    }

    [Fact]
    public void The_65537th_mdev_is_EUSERS_and_an_instance_comes_back()
    {
        const string Create = "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
        TestMachine t = new([0x04], [0x04]);
        for (int i = 0; i < 65536; i++)
            Assert.Equal(Errno.Ok, t.Write(Create, $"62177883-f1bb-47f0-914d-{i:x12}"));
        Assert.Equal(Errno.EUSERS, t.Write(Create, TestMachine.M));
        Assert.Equal(Errno.EEXIST, t.Write(Create, "62177883-f1bb-47f0-914d-000000000007"));
        Assert.Equal(Errno.Ok, t.Write(TestMachine.Path("remove", "62177883-f1bb-47f0-914d-000000000007"), "1"));
        Assert.Equal(Errno.Ok, t.Write(Create, TestMachine.M));
        Assert.Equal(7, t.Mdev().Vfio.Group.Number);
    }

    [Fact]
    public void A_signal_ends_the_wait_for_the_masks_with_EINTR()
    {
        TestMachine t = new([0x04], [0x04]);
        Apvirt.Kernel.Tasks.KernelTask holder = t.Runtime.CreateTask("holder");
        Assert.True(t.Host.ApBus.PermsMutex.TryLock(holder));
        Errno? result = null;
        Apvirt.Kernel.Runtime.SpawnedTask writer = t.Runtime.Spawn("writer", async task => result = await t.WriteAsync(task, "/sys/bus/ap/apmask", "+4"));
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.Null(result);
        writer.Task.Interrupt();
        t.Runtime.Advance(TimeSpan.Zero);
        Assert.Equal(Errno.EINTR, result);
        t.Host.ApBus.PermsMutex.Unlock(holder);
        Assert.False(t.Host.ApBus.AdapterMask[4]);
    }

    [Fact]
    public void Ioctls_check_their_arguments()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create().Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        MatrixMdev mdev = t.Mdev();
        Assert.Equal((Errno.Ok, new VfioDeviceInfo(0x21, 0, 1)), t.Runtime.Drive(mdev.GetInfoAsync(t.Task, 16)));
        Assert.Equal(Errno.EINVAL, t.Runtime.Drive(mdev.GetInfoAsync(t.Task, 15)).Error);
        Assert.Equal((Errno.Ok, 1u, 1u), t.Runtime.Drive(mdev.GetIrqInfoAsync(t.Task, 16, 0)));
        Assert.Equal(Errno.EINVAL, t.Runtime.Drive(mdev.GetIrqInfoAsync(t.Task, 16, 1)).Error);
        VfioIrqSet good = VfioIrqSet.DeviceRequest;
        Apvirt.Vfio.Devices.Eventfd? before = mdev.RequestTrigger;
        foreach (VfioIrqSet bad in (VfioIrqSet[])[good with { Index = 1 }, good with { Start = 1 }, good with { Count = 2 }, good with { Flags = 1 << 5 }, good with { Flags = (1 << 2) | (1 << 3) }, good with { ArgumentSize = 8 }])
            Assert.Equal(Errno.EINVAL, t.Runtime.Drive(mdev.SetIrqsAsync(t.Task, bad, 3, _ => (Errno.Ok, null))));
        Assert.Equal(Errno.EINVAL, t.Runtime.Drive(mdev.SetIrqsAsync(t.Task, good, -2, _ => (Errno.Ok, null))));
        Assert.Equal(Errno.EBADF, t.Runtime.Drive(mdev.SetIrqsAsync(t.Task, good, 99, _ => (Errno.EBADF, null))));
        Assert.Same(before, mdev.RequestTrigger);
        Assert.Equal(Errno.Ok, t.Runtime.Drive(mdev.SetIrqsAsync(t.Task, good, -1, _ => (Errno.Ok, null))));
        Assert.Null(mdev.RequestTrigger);
    }

    [Fact]
    public void A_matrix_text_is_cut_at_4095_bytes()
    {
        int[] adapters = [.. Enumerable.Range(0, 8)];
        int[] domains = [.. Enumerable.Range(0, 70)];
        TestMachine t = new TestMachine(adapters, domains).Create().Assign(adapters, domains);
        string text = t.Read(TestMachine.Path("matrix"));
        Assert.Equal(4095, text.Length);
        Assert.StartsWith("00.0000\n00.0001\n", text, StringComparison.Ordinal);
    }

    [Fact]
    public void Aqic_of_a_guest_without_aiv_is_refused_before_any_lock()
    {
        TestMachine t = new TestMachine([0x04], [0x04]).Create().Assign([0x04], [0x04]);
        Assert.Equal(Errno.Ok, t.Start());
        Assert.True(t.Host.VfioAp.Matrix.MdevsLock.TryLock(t.Runtime.CreateTask("holder")));
        PqapRequest request = new(PqapRegisters.ForAqic(TestMachine.Q("04.0004"), new AqicControl(true, 1, 0x1000))) { HasAiv = false };
        Assert.Equal(PqapOutcome.NotSupported, t.Runtime.Drive(t.Host.Guests.InterceptAsync(t.Task, t.Host.Guests.Find("g")!, request))!.Value.Outcome);
    }
}
