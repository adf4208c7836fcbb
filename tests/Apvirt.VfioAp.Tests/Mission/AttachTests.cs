using Apvirt.Ap.Architecture;
using Apvirt.Host.Guests;
using Apvirt.Kernel;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Interception;
using Apvirt.Kvm.Machines;
using Apvirt.VfioAp.Tests.Support;

namespace Apvirt.VfioAp.Tests.Mission;

/// <summary>mission.md parts 3 and 4: attaching a VM, and the locks of the final document.</summary>
public sealed class AttachTests
{
    private static readonly AqicControl Enable = new(Enable: true, Isc: 3, NotificationByte: 0x2010);

    private static TestMachine Two() =>
        new TestMachine([0x04, 0x05], [0x47]).Create().Create(TestMachine.M2).Assign([0x04], [0x47]).Assign([0x05], [0x47], TestMachine.M2);

    private static ApResponse Aqic(TestMachine t, KernelTask task, AqicControl control)
    {
        PqapRequest request = new(PqapRegisters.ForAqic(TestMachine.Q("04.0047"), control));
        PqapAnswer answer = t.Runtime.Drive(t.Host.Guests.InterceptAsync(task, t.Host.Guests.Find("g")!, request))!.Value;
        Assert.Equal(PqapOutcome.Completed, answer.Outcome);
        return request.Registers.Response;
    }

    [Fact]
    public void M042_a_second_mdev_is_refused_and_nothing_changes()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        VirtualMachine g = t.Machine();
        (IPqapHook? hook, int references, long writes) = (g.PqapHook, g.References, g.SetMasksCount);
        Assert.Equal(Errno.EPERM, t.Start("g", TestMachine.M2));
        Assert.Null(t.Mdev(TestMachine.M2).Kvm);
        Assert.Same(hook, g.PqapHook);
        Assert.Equal(references, g.References);
        Assert.Equal(writes, g.SetMasksCount);
        t.AssertGuest([0x04], [0x47]);
        Assert.Null(t.Host.VfioAp.Matrix.GuestsLock.Holder);
        Assert.Null(t.Host.VfioAp.Matrix.MdevsLock.Holder);
        Assert.Null(g.Lock.Holder);
    }

    [Fact]
    public void M043_a_vm_without_a_control_block_is_not_attached()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start(options: new GuestOptions { Machine = new VirtualMachineOptions { HasAp = false } }));
        Assert.Null(t.Mdev().Kvm);
        Assert.Null(t.Machine().PqapHook);
        Assert.Equal(Errno.Ok, t.Stop());
    }

    [Fact]
    public void M044_attaching_takes_a_reference_and_writes_the_shadow()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        VirtualMachine g = t.Machine();
        Assert.Same(g, t.Mdev().Kvm);
        Assert.Same(t.Mdev(), g.PqapHook);
        // The VM's file, the open device, the attached driver.
        Assert.Equal(3, g.References);
        t.AssertGuest([0x04], [0x47]);
        Assert.Equal(1, g.SetMasksCount);
    }

    [Fact]
    public void M045_detaching_clears_resets_unpins_and_gives_back()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        VirtualMachine g = t.Machine();
        Assert.Equal(ApResponse.Normal, Aqic(t, t.Task, Enable));
        Assert.Equal(1, t.Mdev().Vfio.Pins.Count);
        Assert.Equal(1, g.Gisa.Counts[3]);
        Assert.Equal(Errno.Ok, t.Runtime.Drive(t.Host.Guests.DetachAsync(t.Task, "g", TestMachine.M)));
        t.AssertGuest([], []);
        Assert.Equal(1, t.Resets("04.0047"));
        Assert.Equal(0, t.Mdev().Vfio.Pins.Count);
        Assert.Equal(0, g.Gisa.Counts[3]);
        Assert.Null(g.PqapHook);
        Assert.Null(t.Mdev().Kvm);
        Assert.Equal(1, g.References);
    }

    [Fact]
    public void M060_a_show_waits_for_mdevs_lock()
    {
        TestMachine t = Two();
        KernelTask holder = t.Runtime.CreateTask("holder");
        Assert.True(t.Host.VfioAp.Matrix.MdevsLock.TryLock(holder));
        Apvirt.Devices.Sysfs.SysfsText page = new();
        ValueTask<Errno> show = t.Host.Tree.ReadAsync(t.Task, TestMachine.Path("matrix"), page);
        Assert.False(show.IsCompleted);
        t.Host.VfioAp.Matrix.MdevsLock.Unlock(holder);
        Assert.Equal(Errno.Ok, t.Runtime.Drive(show));
        Assert.Equal("04.0047\n", page.ToString());
    }

    [Fact]
    public void M061_masks_cannot_be_set_without_the_vm_lock()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        Assert.Throws<InvalidOperationException>(() => t.Machine().SetMasks(t.Task, ApMask.All, ApMask.All, ApMask.All));
        t.AssertGuest([0x04], [0x47]);
    }

    [Fact]
    public void M062_the_pointer_is_in_the_mdev_while_attached()
    {
        TestMachine t = Two();
        Assert.Null(t.Mdev().Kvm);
        Assert.Equal(Errno.Ok, t.Start());
        Assert.Same(t.Machine(), t.Mdev().Kvm);
        Assert.Equal(Errno.Ok, t.Stop());
        Assert.Null(t.Mdev().Kvm);
    }

    [Fact]
    public void M063_guests_lock_is_a_mutex() =>
        Assert.Equal(Apvirt.Kernel.Locking.LockKind.Mutex, Two().Host.VfioAp.Matrix.GuestsLock.Class.Kind);

    [Fact]
    public void M064_plugging_waits_for_guests_lock()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        KernelTask holder = t.Runtime.CreateTask("holder");
        Assert.True(t.Host.VfioAp.Matrix.GuestsLock.TryLock(holder));
        ValueTask<Errno> unbind = t.WriteAsync(t.Task, "/sys/bus/ap/drivers/vfio_ap/unbind", "04.0047");
        t.AssertGuest([0x04], [0x47]);
        Assert.False(unbind.IsCompleted);
        t.Host.VfioAp.Matrix.GuestsLock.Unlock(holder);
        Assert.Equal(Errno.Ok, t.Runtime.Drive(unbind));
        t.AssertGuest([], [0x47]);
    }

    [Fact]
    public void M065_creating_an_mdev_and_probing_a_queue_at_once_is_safe()
    {
        for (ulong seed = 1; seed <= 100; seed++)
        {
            TestMachine t = new TestMachine([0x04], [0x47], seed: seed, preemptive: true);
            Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
            Errno create = default;
            Errno bind = default;
            t.Runtime.Spawn("T1", async task => create = await t.WriteAsync(
                task, "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create", TestMachine.M));
            t.Runtime.Spawn("T2", async task => bind = await t.WriteAsync(task, "/sys/bus/ap/drivers/vfio_ap/bind", "04.0047"));
            t.Runtime.Advance(TimeSpan.FromSeconds(1));
            Assert.Equal((Errno.Ok, Errno.Ok), (create, bind));
            t.Assign([0x04], [0x47]);
            t.AssertShadow([0x04], [0x47]);
        }
    }

    [Fact]
    public void M066_a_removed_queue_is_unplugged_from_the_guest_that_its_mdev_has()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        Assert.Equal(Errno.Ok, t.Start("h", TestMachine.M2));
        Assert.Equal(Errno.Ok, t.Unbind("04.0047"));
        t.AssertGuest([], [0x47]);
        t.AssertGuest([0x05], [0x47], "h");
    }

    [Fact]
    public void M067_M068_aqic_needs_mdevs_lock_only()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        KernelTask holder = t.Runtime.CreateTask("holder");
        Assert.True(t.Host.VfioAp.Matrix.GuestsLock.TryLock(holder));
        Assert.True(t.Machine().Lock.TryLock(holder));
        Assert.Equal(ApResponse.Normal, Aqic(t, t.Task, Enable));
        t.Machine().Lock.Unlock(holder);
        t.Host.VfioAp.Matrix.GuestsLock.Unlock(holder);
        Assert.True(t.Host.VfioAp.Matrix.MdevsLock.TryLock(holder));
        PqapRequest request = new(PqapRegisters.ForAqic(TestMachine.Q("04.0047"), Enable with { Enable = false }));
        ValueTask<PqapAnswer?> blocked = t.Host.Guests.InterceptAsync(t.Task, t.Host.Guests.Find("g")!, request);
        Assert.False(blocked.IsCompleted);
        t.Host.VfioAp.Matrix.MdevsLock.Unlock(holder);
        Assert.Equal(PqapOutcome.Completed, t.Runtime.Drive(blocked)!.Value.Outcome);
    }

    [Fact]
    public void M069_closing_waits_until_a_running_hook_has_left()
    {
        TestMachine t = Two();
        Assert.Equal(Errno.Ok, t.Start());
        VirtualMachine g = t.Machine();
        // The hook is held up before it takes any lock of its own, so only pqap_hook_rwsem can make the close wait.
        SlowHook slow = new(t.Runtime, g.PqapHook!);
        g.SetPqapHook(t.Task, slow);
        PqapRequest request = new(PqapRegisters.ForAqic(TestMachine.Q("04.0047"), Enable));
        ValueTask<PqapAnswer?> inHook = t.Host.Guests.InterceptAsync(t.Runtime.CreateTask("vcpu"), t.Host.Guests.Find("g")!, request);
        // Unplugging, which leaves the vCPUs running.
        ValueTask<Errno> stop = t.Host.Guests.DetachAsync(t.Task, "g", TestMachine.M);
        t.Runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.False(stop.IsCompleted);
        Assert.Same(slow, g.PqapHook);
        slow.Gate.CompleteAll();
        Assert.Equal(Errno.Ok, t.Runtime.Drive(stop));
        Assert.Equal(PqapOutcome.Completed, t.Runtime.Drive(inHook)!.Value.Outcome);
        Assert.Equal(ApResponse.Normal, request.Registers.Response);
        Assert.Equal(0, g.Gisa.Counts[3]);
        Assert.Null(g.PqapHook);
    }

    private sealed class SlowHook(KernelRuntime runtime, IPqapHook inner) : IPqapHook
    {
        public Apvirt.Kernel.Waiting.Completion Gate { get; } = new(runtime, "gate");

        public async ValueTask<Errno> HandleAsync(KernelTask task, Vcpu vcpu, PqapRequest request)
        {
            await Gate.WaitAsync(task);
            return await inner.HandleAsync(task, vcpu, request);
        }
    }
}
